# SPDX-License-Identifier: MIT
# clients.py SOCKET PORT - the official clients against a running server,
# a line of TAP for each thing they should get.
import json
import sys
from typing import Annotated, Literal

import anthropic
import httpx
import ollama
import openai
import pydantic

sock, port = sys.argv[1], int(sys.argv[2])
base = 'http://127.0.0.1:%d' % port
n = 0


def ok(what, name):
    global n
    n += 1
    print('%sok %d - %s' % ('' if what else 'not ', n, name), flush=True)


def raises(kind, call, name, check=lambda e: True):
    try:
        call()
    except kind as e:
        ok(check(e), name)
    except Exception as e:
        ok(False, '%s: %r' % (name, e))
    else:
        ok(False, name + ': nothing was raised')


ask = [{'role': 'user', 'content': 'Hello'}]
tools = [{'type': 'function', 'function': {'name': 'weather', 'description': 'Tells the weather',
          'parameters': {'type': 'object', 'properties': {'city': {'type': 'string'}}}}}]
strict = [{'type': 'function', 'function': {'name': 'weather', 'strict': True, 'parameters': {
    'type': 'object', 'additionalProperties': False, 'required': ['city', 'days'], 'properties': {
        'city': {'enum': ['Rome', 'Oslo']}, 'days': {'type': 'integer', 'minimum': 1, 'maximum': 9}}}}}]


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra='forbid')
    name: Annotated[str, pydantic.StringConstraints(max_length=12)]
    age: Annotated[int, pydantic.Field(ge=0, le=120)]
    kind: Literal['cat', 'dog'] | None


flat = [dict(tools[0]['function'], type='function', strict=False)]


def responses(c, where):
    r = c.responses.create(model='demo', input='Hello', temperature=0, max_output_tokens=8, metadata={'a': 'b'})
    text = r.output_text
    ok(text and r.status == 'incomplete' and r.incomplete_details.reason == 'max_output_tokens' and
       r.usage.output_tokens == 8 and r.metadata == {'a': 'b'}, 'openai %s: a response' % where)
    events = list(c.responses.create(model='demo', input='Hello', temperature=0, max_output_tokens=8, stream=True,
                                     metadata={'a': 'b'}))
    ok([e.type for e in events][:4] == ['response.created', 'response.in_progress', 'response.output_item.added',
                                        'response.content_part.added'] and
       [e.type for e in events][-4:] == ['response.output_text.done', 'response.content_part.done',
                                         'response.output_item.done', 'response.incomplete'],
       'openai %s: its events' % where)
    ok([e.sequence_number for e in events] == list(range(len(events))), 'openai %s: in order' % where)
    ok(''.join(e.delta for e in events if e.type == 'response.output_text.delta') == text ==
       events[-1].response.output_text and events[-1].response.usage == r.usage, 'openai %s: the same text' % where)
    with c.responses.stream(model='demo', input='Hello', temperature=0) as s:
        got = ''.join(e.delta for e in s if e.type == 'response.output_text.delta')
        final = s.get_final_response()
    ok(got and final.output_text == got and final.status == 'completed' and final.completed_at,
       'openai %s: the helper of responses' % where)
    talk = [{'role': 'user', 'content': [{'type': 'input_text', 'text': 'Hello'}]}] + [
        i.model_dump(exclude_none=True) for i in r.output] + [
        {'type': 'reasoning', 'id': 'rs_1', 'summary': [], 'content': [{'type': 'reasoning_text', 'text': 'hm'}]},
        {'type': 'function_call', 'call_id': 'c1', 'name': 'weather', 'arguments': '{"city": "Rome"}'},
        {'type': 'function_call_output', 'call_id': 'c1', 'output': 'sun'}, {'role': 'user', 'content': 'And now?'}]
    r = c.responses.create(model='demo', instructions='Be brief.', input=talk, tools=flat, max_output_tokens=4,
                           top_logprobs=2, temperature=0.5)
    ok(r.output[0].type == 'message' and len(r.output[0].content[0].logprobs) == 4 and r.tools[0].name == 'weather'
       and r.instructions == 'Be brief.', 'openai %s: items, tools and instructions' % where)
    n = c.responses.input_tokens.count(model='demo', instructions='Be brief.', input=talk, tools=flat).input_tokens
    ok(n == r.usage.input_tokens, 'openai %s: input tokens counted' % where)
    raises(openai.BadRequestError, lambda: c.responses.create(model='demo', input='x', previous_response_id='resp_1'),
           'openai %s: no memory of responses' % where, lambda e: e.code == 'unsupported_parameter')
    raises(openai.BadRequestError, lambda: c.responses.create(model='demo', input=[{'role': 'user', 'content': [
        {'type': 'input_image', 'image_url': 'http://a/b.png'}]}]), 'openai %s: no images' % where,
        lambda e: e.param == 'input[0]')
    long = [{'role': r, 'content': 'word ' * 500} for r in ('user', 'assistant') * 20] + ask
    raises(openai.BadRequestError, lambda: c.responses.create(model='demo', input=long), 'openai %s: too much' % where,
           lambda e: e.code == 'context_length_exceeded')
    r = c.responses.create(model='demo', input=long, truncation='auto', max_output_tokens=1)
    ok(0 < r.usage.input_tokens, 'openai %s: the oldest is left out where that is asked' % where)


# ---- OpenAI, over TCP and over the socket
def openai_client(c, where):
    r = c.chat.completions.create(model='demo', messages=ask, max_tokens=8, temperature=0)
    text = r.choices[0].message.content
    ok(text and r.choices[0].finish_reason == 'length' and r.usage.completion_tokens == 8,
       'openai %s: a chat' % where)
    ok(r._request_id.startswith('req_'), 'openai %s: a request has an id' % where)
    parts = list(c.chat.completions.create(model='demo', messages=ask, max_tokens=8, temperature=0, stream=True,
                                           stream_options={'include_usage': True}))
    ok(''.join(p.choices[0].delta.content or '' for p in parts if p.choices) == text,
       'openai %s: a stream is the same text' % where)
    ok(parts[-1].usage.total_tokens == r.usage.total_tokens and parts[-1].choices == [],
       'openai %s: usage at its end' % where)
    r = c.chat.completions.create(model='demo', messages=ask, max_tokens=4, n=3, seed=1, logprobs=True,
                                  top_logprobs=2)
    ok(len(r.choices) == 3 and len(r.choices[2].logprobs.content) == 4 and
       len(r.choices[0].logprobs.content[0].top_logprobs) == 2, 'openai %s: three choices, logprobs' % where)
    with c.chat.completions.stream(model='demo', messages=ask, max_tokens=200, temperature=0) as s:
        got = ''.join(e.delta for e in s if e.type == 'content.delta')
        final = s.get_final_completion()
    ok(got and final.choices[0].message.content == got, 'openai %s: the stream helper' % where)
    r = c.chat.completions.create(model='demo', messages=ask + [
        {'role': 'assistant', 'content': None, 'tool_calls': [
            {'id': 'call_1', 'type': 'function', 'function': {'name': 'weather', 'arguments': '{"city": "Rome"}'}}]},
        {'role': 'tool', 'tool_call_id': 'call_1', 'content': 'sun'}], tools=tools, max_tokens=4)
    ok(r.choices[0].message.role == 'assistant', 'openai %s: tools and their answers' % where)
    r = c.completions.create(model='demo', prompt='Once upon', max_tokens=5, temperature=0, echo=True)
    ok(r.choices[0].text.startswith('Once upon'), 'openai %s: a completion' % where)
    responses(c, where)
    ok([m.id for m in c.models.list()] == ['demo'] and c.models.retrieve('demo').id == 'demo',
       'openai %s: models' % where)
    raises(openai.NotFoundError, lambda: c.chat.completions.create(model='nobody', messages=ask),
           'openai %s: no such model' % where, lambda e: e.code == 'model_not_found')
    raises(openai.BadRequestError, lambda: c.chat.completions.create(model='demo', messages=ask, temperature=9),
           'openai %s: a bad value' % where, lambda e: e.param == 'temperature')
    raises(openai.BadRequestError, lambda: c.chat.completions.create(model='demo', messages=[
        {'role': 'user', 'content': 'word ' * 9000}]), 'openai %s: too long' % where,
        lambda e: e.code == 'context_length_exceeded')
    s = c.chat.completions.create(model='demo', messages=ask, max_tokens=4000, stream=True,
                                  extra_body={'ignore_eos': True})
    next(iter(s))
    s.close()
    ok(c.with_options(timeout=20).models.list(), 'openai %s: a stream given up' % where)

    r = c.chat.completions.create(model='demo', messages=ask, max_tokens=400, reasoning_effort='none', seed=2,
                                  response_format={'type': 'json_object'}, extra_body={'repetition_penalty': 1.2})
    ok(r.choices[0].finish_reason == 'length' or isinstance(json.loads(r.choices[0].message.content), dict),
       'openai %s: any object' % where)
    r = c.chat.completions.parse(model='demo', messages=ask, max_tokens=400, reasoning_effort='none', seed=3,
                                 response_format=Person)
    ok(isinstance(r.choices[0].message.parsed, Person), 'openai %s: a class' % where)
    raises(openai.BadRequestError, lambda: c.chat.completions.create(
        model='demo', messages=ask, response_format={'type': 'json_schema', 'json_schema': {
            'name': 'x', 'schema': {'type': 'array', 'uniqueItems': True}}}),
        'openai %s: a schema that cannot be kept to' % where,
        lambda e: e.code == 'invalid_schema' and '/uniqueItems' in e.message)
    with c.chat.completions.stream(model='demo', messages=ask, tools=strict, tool_choice='required', max_tokens=300,
                                   reasoning_effort='none', seed=4) as s:
        calls = s.get_final_completion().choices[0].message.tool_calls
    ok(calls and all(t.function.name == 'weather' and sorted(json.loads(t.function.arguments)) == ['city', 'days']
                     for t in calls), 'openai %s: calls, as required' % where)


openai_client(openai.OpenAI(base_url=base + '/v1', api_key='none'), 'tcp')
openai_client(openai.OpenAI(base_url='http://localhost/v1', api_key='none', http_client=httpx.Client(
    transport=httpx.HTTPTransport(uds=sock))), 'unix')

# ---- Ollama
c = ollama.Client(host=base)
r = c.chat(model='demo', messages=ask, options={'num_predict': 8, 'temperature': 0})
text = r.message.content
ok(text and r.done and r.done_reason == 'length' and r.eval_count == 8, 'ollama: a chat')
parts = list(c.chat(model='demo', messages=ask, options={'num_predict': 8, 'temperature': 0}, stream=True))
ok(''.join(p.message.content for p in parts) == text and parts[-1].done, 'ollama: a stream')
r = c.generate(model='demo', prompt='Hello', options={'num_predict': 8, 'temperature': 0})
ok(r.response == text, 'ollama: generate goes by the template')
r = c.generate(model='demo', prompt='Once', raw=True, options={'num_predict': 4, 'temperature': 0})
ok(r.response and r.done, 'ollama: or raw')
ok(c.list().models[0].model == 'demo:latest' and c.ps().models[0].model == 'demo:latest', 'ollama: lists')
ok(c.show('demo').details.family == 'llama', 'ollama: show')
raises(ollama.ResponseError, lambda: c.chat(model='nobody', messages=ask), 'ollama: no such model',
       lambda e: e.status_code == 404 and 'not found' in e.error)
r = c.chat(model='demo', messages=ask, think=False, format=Person.model_json_schema(), options={'num_predict': 400})
ok(Person.model_validate_json(r.message.content), 'ollama: a schema')
raises(ollama.ResponseError, lambda: c.push('demo'), 'ollama: push', lambda e: e.status_code == 501)

# ---- Anthropic
c = anthropic.Anthropic(base_url=base, api_key='none')
r = c.messages.create(model='demo', max_tokens=8, messages=ask, extra_body={'temperature': 0})
text = r.content[0].text
ok(text and r.stop_reason == 'max_tokens' and r.usage.output_tokens == 8, 'anthropic: a message')
with c.messages.stream(model='demo', max_tokens=8, messages=ask, system='Be brief.', extra_body={'temperature': 0}) as s:
    got = ''.join(s.text_stream)
    final = s.get_final_message()
ok(got and final.content[0].text == got, 'anthropic: a stream')
ok(c.messages.count_tokens(model='demo', messages=ask).input_tokens > 0, 'anthropic: tokens counted')
plain = [{'name': t['function']['name'], 'input_schema': t['function']['parameters']} for t in strict]
for choice in {'type': 'any'}, {'type': 'tool', 'name': 'weather', 'disable_parallel_tool_use': True}:
    r = c.messages.create(model='demo', max_tokens=400, messages=ask, tools=plain, tool_choice=choice,
                          thinking={'type': 'disabled'})
    used = [b for b in r.content if b.type == 'tool_use']
    ok(r.stop_reason == 'tool_use' and used and all(b.input['city'] in ('Rome', 'Oslo') for b in used),
       'anthropic: a call, as %s asks' % choice['type'])
raises(anthropic.NotFoundError, lambda: c.messages.create(model='nobody', max_tokens=1, messages=ask),
       'anthropic: no such model')
raises(anthropic.BadRequestError, lambda: c.messages.create(model='demo', max_tokens=1, messages=[]),
       'anthropic: no messages')

print('1..%d' % n)
