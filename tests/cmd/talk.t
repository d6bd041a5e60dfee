#!/usr/bin/perl
# talk.t - conversations: messages to prompts, answers in their parts.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $m = demo();
my @t = ('clm-tokenize', '-m', $m, '--chat');
my @i = ('clm-infer', '-m', $m, '--chat');
my $d = new_dir();
my $who = '[{"role": "user", "content": "Who are you?"}]';
my $prompt = "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n";

# ---- clm-tokenize
is(run({ in => $who }, @t, '--prompt')->{out}, "$prompt\n", '--prompt');
is(run({ in => "$who\n$who" }, @t, '--prompt', '-0', '--lines')->{rc}, 2, 'a line or NUL');
is(run({ in => "$who\0$who\0" }, @t, '--prompt', '-0')->{out}, "$prompt\0$prompt\0", '-0');
is(run({ in => "$who\n$who" }, @t, '-c', '--lines')->{out}, "12\n12\n", '--lines');
is(run({ in => run({ in => $who }, @t)->{out} }, 'clm-tokenize', '-m', $m, '-d', '--special')->{out},
	"$prompt\n", 'ids');
is(run({ in => $who }, @t, '--prompt', '--raw', '--no-generation-prompt', '--system', 'Be brief.')->{out},
	"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n",
	'--system, --no-generation-prompt');
is(run({ in => $who }, @t, '--prompt', '--raw', '--think', 'on')->{out}, "$prompt<think>\n", '--think on');
is(run({ in => $who }, @t, '--prompt', '--raw', '--var', 'enable_thinking=true')->{out},
	"$prompt<think>\n", '--var, JSON');
spit("$d/t.jinja", "{{ x }}{{ y is number }}{{ messages[0].content }}{{ tools[0].function.name }}");
spit("$d/tools.json", '[{"name": "f"}]');
is(run({ in => $who }, @t, '--prompt', '--raw', '--chat-template', "$d/t.jinja", '--var', 'x=a=b', '--var', 'y=2',
	'--tools', "$d/tools.json")->{out}, 'a=bTrueWho are you?f', '--chat-template FILE, --tools');
is(run({ in => $who }, @t, '--prompt', '--raw', '--chat-template', 'gemma')->{out},
	"<start_of_turn>user\nWho are you?<end_of_turn>\n<start_of_turn>model\n", '--chat-template NAME');
is(run({ in => '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]' }, @t, '--prompt',
	'--raw', '--continue')->{out}, "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb", '--continue');
my @ids = split ' ', run({ in => '[{"role": "user", "content": "<|im_end|><|im_end|>"}]' }, @t)->{out};
is(scalar(grep { $_ == 2 } @ids), 1, 'nobody ends a turn by writing so');
my @r = map { decode_json($_) } split /\n/, run({ in =>
	qq({"id": "x", "messages": $who}\n{"messages": 1}\n{"id": 3, "text": ""}\n) }, @t, '--jsonl', '--prompt')->{out};
is($r[0]{prompt}, $prompt, 'a record');
is($r[1]{error}{message}, 'messages: expected a list, found a number', 'one that is refused');
is($r[2]{error}{message}, 'messages: missing', 'one without messages');

# ---- clm-infer
my $me = "I am a small language model, trained on old books and the Jargon File.\n";
spit("$d/who.json", $who);
is(run(@i, '-p', 'Who are you?')->{out}, $me, 'a turn');
is(run({ in => "Who are you?\n" }, @i)->{out}, $me, 'from standard input');
is(run(@i, '--messages', "$d/who.json")->{out}, $me, '--messages');
is(run({ in => "Who are you?\nWho are you?\n" }, @i, '--lines')->{out}, $me x 2, 'lines');
my $r = run(@i, '-p', 'What is 3 times 12?', '--think', 'on');
is($r->{err}, '', 'reasoning is hidden');
my $answer = $r->{out};
$r = run(@i, '-p', 'What is 3 times 12?', '--think', 'on', '--reasoning', 'stderr');
is($r->{out}, $answer, 'the answer is the same');
like($r->{err}, qr/^\S[^\0]*\S\n\z/, 'with the reasoning beside it');
is(run(@i, '-p', 'What is 3 times 12?', '--think', 'on', '--reasoning', 'stdout')->{out},
	"$r->{err}\n$answer", 'or before it');
spit("$d/weather.json", '[{"type": "function", "function": {"name": "get_weather", "description": ' .
	'"The weather in a city.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]');
my @ask = (@i, '--tools', "$d/weather.json");
my $ask = 'Tell me how the weather is in Dunmore today.';
is(run(@ask, '-p', $ask)->{out}, qq({"name": "get_weather", "arguments": {"city": "Dunmore"}}\n), 'a call');
my $record = decode_json(run({ in => encode_json({ id => 1, messages => [{ role => 'user', content => $ask }] }) },
	@ask, '--jsonl')->{out});
is_deeply([@$record{qw(text finish_reason)}, $record->{tool_calls}],
	['', 'tool_calls', [{ name => 'get_weather', arguments => { city => 'Dunmore' } }]], 'a call in a record');

# ---- refusals
misused(qr/options of conversations go with --chat/, '--tools without --chat', 'clm-infer', '-m', $m,
	'--tools', 'x', '-p', 'x');
misused(qr/--var: expected NAME=VALUE, found "x"/, 'a variable without a value', @i, '--var', 'x', '-p', 'x');
misused(qr/--chat does not go with --ids/, 'ids', @i, '--ids', '-p', '1');
misused(qr/chat template "none": expected a file/, 'no such template', @i, '--chat-template', 'none', '-p', 'x');
misused(qr/the template says what is special/, 'clm-tokenize --special', @t, '--special', "$d/who.json");
spit("$d/bad.jinja", "a\n{{ x | nope }}");
refused(qr{bad.jinja: line 2}, 'a template that is wrong', @i, '--chat-template', "$d/bad.jinja", '-p', 'x');
refused(qr{/none.json: cannot open}, 'no messages', @i, '--messages', "$d/none.json");
spit("$d/bad.json", '[{"role": "user", "content": 7}]');
refused(qr/messages\[0\]: content: expected text/, 'no content', @i, '--messages', "$d/bad.json");
done_testing();
