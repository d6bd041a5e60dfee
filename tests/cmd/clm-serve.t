#!/usr/bin/perl
# clm-serve.t - models over HTTP: what clients get, and what they cannot do.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask qw(down);
use Run;
use IO::Socket::UNIX;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my @serve = ('clm-serve', '-m', demo(), '--device', 'cpu');

sub up { my ($path, @more) = @_; return Ask::up($path, @serve, @more) }

# Bytes as they are, and what comes back until the server closes.
sub raw
{
	my ($bytes, $to) = @_;
	my $c = IO::Socket::UNIX->new(Peer => $to // $sock) or return '';

	print $c $bytes;
	local $/;
	return <$c> // '';
}

sub ask { return Ask::ask($sock, @_) }
sub json { return ask(@_) }
sub events { map { /^data: (\{.*)/s ? decode_json($1) : () } split /\n\n/, $_[0] }

my $s = up($sock);
my @c = ('POST', '/v1/completions');
my %q = (model => 'demo', prompt => 'Once upon a time', max_tokens => 24, temperature => 0.8, seed => 7);

is((stat $sock)[2] & 0777, 0600, 'the socket is its user\'s');
is(ask('GET', '/health')->{body}, qq({"status":"ok"}\n), 'health');

# ---- texts
my $want = run('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 24, '--temp', 0.8,
	'--seed', 7)->{out} =~ s/\n\z//r;
my $r = json(@c, \%q);
is($r->{json}{choices}[0]{text}, $want, 'a text is the one of clm-infer');
is($r->{json}{usage}{completion_tokens}, 24, 'its tokens are counted');
like($r->{head}, qr/^X-Request-Id: req_[0-9a-f]{32}\r$/m, 'a request has a name');

$r = ask(@c, { %q, stream => JSON::PP::true, stream_options => { include_usage => JSON::PP::true } });
my @e = events($r->{body});
like($r->{head}, qr/^Content-Type: text\/event-stream; charset=utf-8\r$/m, 'a stream of events');
is(join('', map { $_->{choices}[0]{text} // '' } @e), $want, 'a stream\'s pieces are the text');
is($e[-1]{usage}{total_tokens}, $e[-1]{usage}{prompt_tokens} + 24, 'usage comes last');
like($r->{body}, qr/\n\ndata: \[DONE\]\n\n\z/, 'and then the end');

$r = json(@c, { %q, n => 3 });
is($r->{json}{choices}[0]{text}, $want, 'of several choices the first');
for my $i (1, 2) {
	is($r->{json}{choices}[$i]{text}, json(@c, { %q, seed => 7 + $i })->{json}{choices}[0]{text},
		"choice $i has the seed after it");
}
$r = json(@c, { %q, prompt => ['Once upon a time', [1, 2, 3]], echo => JSON::PP::true });
is(scalar @{ $r->{json}{choices} }, 2, 'a choice for each prompt');
is($r->{json}{choices}[0]{text}, "$q{prompt}$want", 'the prompt first');
$r = json(@c, { %q, logprobs => 2, max_tokens => 3 });
my $l = $r->{json}{choices}[0]{logprobs};
is(join('', @{ $l->{tokens} }), $r->{json}{choices}[0]{text}, 'tokens beside the text');
is(scalar(grep { keys %$_ == 2 } @{ $l->{top_logprobs} }), 3, 'and the likely ones');
is(json(@c, { %q, stop => substr($want, 10, 6) })->{json}{choices}[0]{text}, substr($want, 0, 10),
	'a stop text ends it');

# ---- how likely a prompt is: clm-score's numbers
my @score = split /\n/, run({ in => $q{prompt} }, 'clm-score', '-m', demo(), '--device', 'cpu', '--tokens')->{out};
my @number = map { (split /\t/)[3] } @score[1 .. $#score];
like(ask(@c, { %q, echo => JSON::PP::true, logprobs => 1, max_tokens => 0 })->{body},
	qr/"token_logprobs":\[null,@{[join ',', @number]}\]/, 'the prompt\'s tokens, to the last bit');
$r = json(@c, { %q, echo => JSON::PP::true, logprobs => 1, max_tokens => 2, n => 2, seed => 1 });
$l = $r->{json}{choices}[1]{logprobs};
is(scalar @{ $l->{tokens} }, 2 + @score, 'and those that follow, of each choice');
is_deeply([@{ $l->{text_offset} }[0, -2]], [0, length $q{prompt}], 'where they begin');
my $pair = { prompt => 'Once upon a', completion => ' time' };
my $line = run({ in => encode_json({ %$pair, tokens => JSON::PP::true }) . "\n" }, 'clm-score', '-m', demo(), '--device',
	'cpu', '--jsonl')->{out};
is_deeply(json('POST', '/score', { model => 'demo', %$pair })->{json}{logprobs}, decode_json($line)->{logprobs},
	'a completion given its prompt');
is(json('POST', '/v1/score', { model => 'demo', prompt => 'x' })->{status}, 400, 'but no prompt alone');
my $plain = json(@c, { %q, temperature => 0, logprobs => 1, max_tokens => 1 })->{json}{choices}[0]{logprobs};
$l = json(@c, { %q, temperature => 0, logprobs => 1, max_tokens => 1, logit_bias => { 300 => 100 } })->{json}{choices}[0]{logprobs};
is_deeply($l->{top_logprobs}, $plain->{top_logprobs}, 'a bias changes the draw, not what is told');
ok($l->{token_logprobs}[0] < $plain->{token_logprobs}[0], 'of the token drawn');
my @best = map { json(@c, { %q, best_of => 4, n => $_ })->{json}{choices} } 1, 2;
is_deeply($best[0][0], $best[1][0], 'the best of four');
is(json(@c, { %q, best_of => 1, n => 2 })->{status}, 400, 'which are no fewer than are told');
is(json(@c, { %q, suffix => 'end' })->{json}{error}{param}, 'suffix', 'it does not fill in');

# ---- what is known is not computed again
my @turns = ({ role => 'user', content => 'The king went to sea and said a word. ' x 40 });
for (1, 2) {
	$r = json('POST', '/v1/chat/completions', { model => 'demo', messages => \@turns, max_tokens => 8 })->{json};
	last if $_ == 2;
	push @turns, $r->{choices}[0]{message}, { role => 'user', content => 'And then?' };
}
my ($all, $known) = ($r->{usage}{prompt_tokens}, $r->{usage}{prompt_tokens_details}{cached_tokens});
ok($all > 300 && $known > $all - 80, "of $all tokens of a second turn $known were known");

# ---- many at once: nobody's text depends on the others
my @many = map { { %q, seed => $_ } } 1 .. 64;
my @alone = map { json(@c, $_)->{json}{choices}[0]{text} } @many;
my @socks = map {
	my $k = IO::Socket::UNIX->new(Peer => $sock);
	my $text = encode_json($_);
	print $k "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
		. length($text) . "\r\n\r\n$text";
	$k->flush;
	$k;
} @many;
my @beside = map { local $/; decode_json((split /\r\n\r\n/, <$_>, 2)[1])->{choices}[0]{text} } @socks;
is(join("\n--\n", @beside), join("\n--\n", @alone), 'sixty-four at once are as each alone');
is($beside[6], $want, 'and as clm-infer says');
is(join('', map { $_->{choices}[0]{text} // '' } events(ask(@c, { %{ $many[$_] }, stream => JSON::PP::true })->{body})),
	$alone[$_], "$_: a stream is the whole") for 0 .. 11;

# ---- chats: one answer in three dialects, whole and in pieces
my @ask = ({ role => 'user', content => 'Hello' });
my %chat = (model => 'demo', messages => \@ask, max_tokens => 12, temperature => 0);
my $said = json('POST', '/v1/chat/completions', \%chat)->{json};
my $answer = $said->{choices}[0]{message}{content};
ok(length $answer, 'an answer');
is($said->{choices}[0]{finish_reason}, 'stop', 'to its end');
is(run('clm-infer', '-m', demo(), '--device', 'cpu', '--chat', '-p', 'Hello', '-n', 12)->{out}, "$answer\n",
	'the one of clm-infer');
$r = ask('POST', '/v1/chat/completions', { %chat, stream => JSON::PP::true });
is(join('', map { $_->{choices}[0]{delta}{content} // '' } events($r->{body})), $answer, 'in pieces');
my %ollama = (model => 'demo', messages => \@ask, options => { num_predict => 12, temperature => 0 });
my @lines = split /\n/, ask('POST', '/api/chat', \%ollama)->{body};
is(join('', map { decode_json($_)->{message}{content} } @lines), $answer, 'for Ollama, in pieces');
is(decode_json($lines[-1])->{done_reason}, 'stop', 'and how it ended');
is(json('POST', '/api/chat', { %ollama, stream => JSON::PP::false })->{json}{message}{content}, $answer, 'whole');
is(json('POST', '/api/generate', { %ollama, messages => undef, prompt => 'Hello', stream => JSON::PP::false })
	->{json}{response}, $answer, 'generate goes by the template');
is(json('POST', '/api/generate', { model => 'demo' })->{json}{done_reason}, 'load', 'nothing to answer');
is(json('POST', '/v1/messages', \%chat)->{json}{content}[0]{text}, $answer, 'for Anthropic');
$r = ask('POST', '/v1/messages', { %chat, stream => JSON::PP::true });
is(join('', map { /^event: content_block_delta\ndata: (.*)/ ? decode_json($1)->{delta}{text} : () }
	split /\n\n/, $r->{body}), $answer, 'in pieces');
like($r->{body}, qr/event: message_stop\ndata: \{"type":"message_stop"\}\n\n\z/, 'to the end');
like(json('POST', '/apply-template', \%chat)->{json}{prompt}, qr/Hello/, 'the prompt');
$r = json('POST', '/v1/messages', { %chat, stop_sequences => ['zzz', substr $answer, 4, 3] })->{json};
is("$r->{stop_reason} $r->{stop_sequence}", 'stop_sequence ' . substr($answer, 4, 3), 'which text ended it');
for my $seed (1 .. 4) {
	my $j = json('POST', '/v1/chat/completions', { %chat, response_format => { type => 'json_object' }, seed => $seed,
		max_tokens => 200, temperature => 1 })->{json}{choices}[0];
	my $text = $j->{message}{content};
	ok($j->{finish_reason} eq 'length' || eval { JSON::PP->new->decode($text) }, "an object, as asked: $text");
}
my $schema = { type => 'object', properties => { name => { type => 'string', maxLength => 8 },
	age => { type => 'integer', minimum => 0, maximum => 120 }, tags => { type => 'array', items => { enum => [qw(a b)] },
	maxItems => 2 } }, required => [qw(name age tags)], additionalProperties => JSON::PP::false };
sub person
{
	my ($text) = @_;
	my $v = eval { JSON::PP->new->decode($text) } or return 0;
	return join(' ', sort keys %$v) eq 'age name tags' && length $v->{name} <= 8 && $v->{age} =~ /\A(\d|[1-9]\d|1[01]\d|120)\z/
		&& @{$v->{tags}} <= 2 && !grep { !/\A[ab]\z/ } @{$v->{tags}};
}
my %strict = (%chat, reasoning_effort => 'none', max_tokens => 300, temperature => 1);
my $wrapped = { type => 'json_schema', json_schema => { name => 'person', schema => $schema } };
for my $c (@{json('POST', '/v1/chat/completions', { %strict, n => 4, response_format => $wrapped, logprobs => JSON::PP::true })
	->{json}{choices}}) {
	ok(person($c->{message}{content}), "of the schema: $c->{message}{content}");
}
ok(person(json('POST', '/api/chat', { %ollama, stream => JSON::PP::false, think => JSON::PP::false, format => $schema,
	options => { num_predict => 300 } })->{json}{message}{content}), 'Ollama\'s format');
is(json('POST', '/v1/completions', { model => 'demo', prompt => 'Once', grammar => 'root ::= "ab"{1,3} "c"', max_tokens => 40,
	temperature => 0 })->{json}{choices}[0]{text} =~ /\A(ab)+c\z/, 1, 'a grammar in GBNF');
for (['response_format.type', response_format => { type => 'xml' }, 'invalid_value'],
	['response_format.json_schema.schema', response_format => { type => 'json_schema', json_schema => {
		schema => { properties => { a => { uniqueItems => JSON::PP::true } } } } }, 'invalid_schema'],
	['grammar', grammar => "root ::= \"a\nb\"", 'invalid_schema'],
	['tool_choice', tool_choice => 'required', 'invalid_value'], ['tool_choice', tool_choice => 'must', 'invalid_value']) {
	my $e = json('POST', '/v1/chat/completions', { %chat, $_->[1] => $_->[2] })->{json}{error};
	is("$e->{param} $e->{code}", "$_->[0] $_->[3]", "refused: $e->{message}");
}
my $city = { type => 'object', properties => { city => { enum => [qw(Rome Oslo)] } }, required => ['city'],
	additionalProperties => JSON::PP::false };
my @tools = map { { type => 'function', function => { name => $_, parameters => $city } } } qw(weather clock);
sub called
{
	my ($choice, %more) = @_;
	my $m = json('POST', '/v1/chat/completions', { %strict, tools => \@tools, tool_choice => $choice, %more })->{json}
		{choices}[0]{message};
	return join ' ', map { my $a = JSON::PP->new->decode($_->{function}{arguments});
		"$_->{function}{name}(" . join(',', %$a) . ')' } @{$m->{tool_calls}};
}
like(called('required', seed => 1), qr/\A(weather|clock)\(city,(Rome|Oslo)\)/, 'a call, as required');
like(called({ type => 'function', function => { name => 'clock' } }, parallel_tool_calls => JSON::PP::false),
	qr/\Aclock\(city,(Rome|Oslo)\)\z/, 'this one, and once');
like(called({ type => 'allowed_tools', allowed_tools => { mode => 'required', tools => [{ type => 'function',
	function => { name => 'clock' } }] } }, seed => 2), qr/\Aclock/, 'one of those allowed');
is(json('POST', '/v1/chat/completions', { %chat, tools => \@tools, tool_choice => { type => 'function',
	function => { name => 'none' } } })->{json}{error}{code}, 'invalid_value', 'no such tool');
my $use = json('POST', '/v1/messages', { model => 'demo', max_tokens => 300, messages => \@ask, thinking => { type =>
	'disabled' }, tools => [{ name => 'weather', input_schema => $city }], tool_choice => { type => 'any' } })->{json};
like($use->{content}[0]{input}{city}, qr/\A(Rome|Oslo)\z/, 'for Anthropic too');
is(json('POST', '/v1/chat/completions', { %chat, messages => [{ role => 'king', content => 'x' }] })->{json}{error}{param},
	'messages[0].role', 'no such role');
is(json('POST', '/v1/messages', { model => 'nobody', messages => \@ask })->{json}{error}{type}, 'not_found_error',
	'an error in Anthropic\'s words');
is(json('POST', '/v1/embeddings', { model => 'demo', input => 'x' })->{status}, 400, 'it makes no vectors');

# ---- lists and the tokenizer
is(json('GET', '/v1/models')->{json}{data}[0]{id}, 'demo', 'the models');
is(json('GET', '/v1/models/demo')->{json}{object}, 'model', 'one of them');
is(json('GET', '/api/tags')->{json}{models}[0]{name}, 'demo:latest', 'in Ollama\'s words');
is(json('POST', '/api/show', { model => 'demo' })->{json}{details}{family}, 'llama', 'what it is');
my $t = json('POST', '/tokenize', { content => 'Once upon' })->{json}{tokens};
is(json('POST', '/detokenize', { tokens => $t })->{json}{content}, 'Once upon', 'there and back');

# ---- refusals
my @bad = (
	[400, 'invalid_json', @c, '{"model":"demo"'],
	[400, 'invalid_json', @c, '[]'],
	[400, 'invalid_json', @c, '{"a":1,"a":2}'],
	[400, 'invalid_json', @c, "\xff"],
	[400, 'invalid_json', @c, '[' x 100],
	[400, 'missing_required_parameter', @c, { prompt => 'x' }],
	[400, 'missing_required_parameter', @c, { model => 'demo' }],
	[404, 'model_not_found', @c, { model => '../demo', prompt => 'x' }],
	[404, 'model_not_found', 'GET', '/v1/models/..%2Fdemo'],
	[400, 'invalid_value', @c, { %q, temperature => 3 }],
	[400, 'invalid_type', @c, { %q, temperature => 'hot' }],
	[400, 'invalid_value', @c, { %q, n => 1000 }],
	[400, 'invalid_type', @c, { %q, n => 1.5 }],
	[400, 'invalid_value', @c, { %q, prompt => [99999999] }],
	[400, 'invalid_type', @c, { %q, prompt => {} }],
	[400, 'context_length_exceeded', @c, { %q, prompt => 'word ' x 9000 }],
);
for (@bad) {
	my ($status, $code, @q) = @$_;
	my $r = json(@q);
	is("$r->{status} $r->{json}{error}{code}", "$status $code", "$code: " . substr "@q[1 .. $#q]", 0, 40);
}
is(ask('GET', '/v1/nothing')->{status}, 404, 'no such path');
is(ask('GET', '/v1/models/%00')->{status}, 400, 'a zero byte in the path');
is(ask('GET', '/v1/models/%zz')->{status}, 400, 'no escape');
like(ask('DELETE', '/v1/models')->{head}, qr/^HTTP\/1.1 405.*^Allow: GET\r$/ms, 'what a path takes');
is(json('GET', '/nothing')->{json}{error}, 'there is no such path', 'an error in Ollama\'s words');

# ---- heads
is(ask('GET', '/v1/models', '', 'Host: evil.example')->{status}, 403, 'a host that is not ours');
is(ask('GET', '/v1/models', '', "Host: $_")->{status}, 200, "host $_")
	for '127.0.0.1:1', '[::1]:1', 'a.localhost', 'LOCALHOST.';
is(ask('GET', '/v1/models', '', "Origin: $_")->{status}, 403, "origin $_")
	for 'null', 'http://evil.example', 'http://localhost.evil.example', 'http://localhost@evil.example';
like(ask('GET', '/v1/models', '', 'Origin: http://localhost:3000')->{head},
	qr/^Access-Control-Allow-Origin: http:\/\/localhost:3000\r$/m, 'an origin that is ours');
is(ask('OPTIONS', '/v1/models', '', 'Origin: http://localhost')->{status}, 204, 'asked beforehand');
# ---- what is no head: our words, in the dialect of the path, and the end
my $get = "GET /v1/models HTTP/1.1\r\nConnection: close\r\n";
my $post = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n";
my @heads = (
	[400, 'two hosts', "${get}Host: localhost\r\nHost: localhost\r\n\r\n"],
	[400, 'no host', "$get\r\n"],
	[400, 'length and coding', "${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"],
	[400, 'two lengths', "${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
	[400, 'a length with a sign', "${post}Content-Length: +2\r\n\r\n{}"],
	[400, 'a coding of our own', "${post}Transfer-Encoding: gzip, chunked\r\n\r\n{}"],
	[415, 'a coded body', "${post}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"],
	[413, 'a huge body', "${post}Content-Length: 99999999999\r\n\r\n"],
	[400, 'a zero byte', "${get}Host: local\0host\r\n\r\n"],
	[400, 'a bare line feed', "${get}Host: localhost\n\r\n"],
	[400, 'a bare carriage return', "${get}Host: local\rhost\r\n\r\n"],
	[400, 'a blank before the colon', "${get}Host : localhost\r\n\r\n"],
	[400, 'a folded line', "${get}Host: localhost\r\n more\r\n\r\n"],
	[400, 'no version', "GET /v1/models\r\n\r\n"],
	[400, 'another version', "GET /v1/models HTTP/2.0\r\nHost: localhost\r\n\r\n"],
	[400, 'no method', " /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"],
	[400, 'not HTTP', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
	[431, '17 KiB', "${get}Host: localhost\r\nX: " . 'x' x 17000 . "\r\n\r\n"],
	[431, 'a line without end', 'GET /v1/' . 'x' x 20000],
	[431, '101 fields', "${get}Host: localhost\r\n" . join('', map { "X-$_: 1\r\n" } 1 .. 101) . "\r\n"],
);
for (@heads) {
	my ($status, $what, $bytes) = @$_;
	my ($head, $body) = split /\r\n\r\n/, raw($bytes), 2;
	my $message = ref eval { decode_json($body) }->{error} ? 'OpenAI' : 'Ollama';

	like($head, qr/^HTTP\/1.1 $status .*^X-Request-Id: req_[0-9a-f]{32}\r$/ms, $what);
	is($message, $what =~ /^no.*(?:HTTP|method)/ ? $message : 'OpenAI', "$what: said so") if $status != 431;
}
like(raw("\r\n${get}Host: localhost\r\n\r\n"), qr/^HTTP\/1.1 200/, 'an empty line before it is nothing');
is(scalar(() = raw("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" x 2 . "${get}Host: localhost\r\n\r\n") =~
	/^HTTP\/1.1 200/mg), 3, 'three in one go');
is(ask('GET', '/v1/%2e%2e/models')->{status}, 404, 'dots are a name');
my $half = IO::Socket::UNIX->new(Peer => $sock);
for my $piece (map { substr $get, $_ * 7, 7 } 0 .. length($get) / 7) { print $half $piece; $half->flush }
print $half "Host: localhost\r\n\r\n";
$half->flush;
shutdown $half, 1;
like(do { local $/; <$half> }, qr/^HTTP\/1.1 200/, 'a head in pieces, and then no more');

# ---- peers that leave
for my $stream (JSON::PP::true, JSON::PP::false) {
	my $text = encode_json({ %q, max_tokens => 8000, ignore_eos => JSON::PP::true, stream => $stream });
	my $c = IO::Socket::UNIX->new(Peer => $sock);
	print $c "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
	$c->flush;
	select undef, undef, undef, 0.1;
	close $c;
}
my $running;
for (1 .. 200) {
	($running) = ask('GET', '/metrics')->{body} =~ /^clm_requests_running (\d+)/m;
	last if !$running;
	select undef, undef, undef, 0.05;
}
is($running, 0, 'nothing runs for those who left');

like(ask('GET', '/metrics')->{body}, qr/^clm_requests_total\{api="\/v1\/completions",code="200"\} \d+$/m,
	'requests are counted');

# ---- the end
my $late = IO::Socket::UNIX->new(Peer => $sock);
my $text = encode_json({ %q, max_tokens => 64 });
print $late "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
	. length($text) . "\r\n\r\n$text";
$late->flush;
select undef, undef, undef, 0.1;
$r = down($s, 'a server with work');
like(do { local $/; <$late> }, qr/"finish_reason":"/, 'what runs is answered');
ok(!-e $sock, 'the socket is gone');
unlike($r->{err}, qr/Once upon/, 'the log has no texts');
like($r->{err}, qr/POST \/v1\/completions 200 model=demo/, 'but requests');

# ---- keys
spit("$d/keys", "# ours\nopen sesame\n");
chmod 0644, "$d/keys";
refused(qr/keys: expected a file that only its owner can read/, 'keys for all', @serve, '-l', $sock,
	'--key-file', "$d/keys");
chmod 0600, "$d/keys";
$s = up($sock, '--key-file', "$d/keys", '-q');
is(ask('GET', '/v1/models')->{status}, 401, 'no key');
is(ask('GET', '/v1/models', '', 'Authorization: Bearer open')->{status}, 401, 'a wrong one');
is(ask('GET', '/v1/models', '', 'Authorization: bearer open sesame')->{status}, 200, 'the key');
is(ask('GET', '/v1/models', '', 'X-Api-Key: open sesame')->{status}, 200, 'or so');
is(ask('GET', '/health')->{status}, 200, 'health is for all');
my $second = run(@serve, '-l', $sock);
is($second->{rc}, 4, 'a socket in use');
like($second->{err}, qr/a server listens there/, 'says so');
is(down($s, 'a quiet server')->{err}, '', 'in silence');
# ---- vectors
my $words = '{"[PAD]": 0, "[UNK]": 1, "hello": 2, "world": 3}';
for my $f ('config.json', 'model.safetensors') { spit("$d/$f", slurp(golden('bert') . "/$f")) }
spit("$d/tokenizer.json", qq({"added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true,
	"handle_chinese_chars": true, "strip_accents": null, "lowercase": true}, "post_processor": null,
	"pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": null, "model": {"type": "WordPiece",
	"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": $words}}));
$s = start('clm-serve', '-q', '-m', "words=$d", '--device', 'cpu', '-l', $sock);
for (1 .. 600) { last if -S $sock; select undef, undef, undef, 0.05 }
my $floats = json('POST', '/v1/embeddings', { model => 'words', input => ['Hello world', 'hello'] })->{json}{data};
my $packed = json('POST', '/v1/embeddings', { model => 'words', input => 'hello world', encoding_format => 'base64' });
require MIME::Base64;
is(pack('f<*', @{ $floats->[0]{embedding} }), MIME::Base64::decode_base64($packed->{json}{data}[0]{embedding}),
	'vectors as numbers and packed');
my @have = split /, /, run({ in => "2 3\n" }, 'clm-embed', '-m', $d, '--device', 'cpu', '--ids', '--normalize')->{out}
	=~ s/.*\[|\].*//rsg;
is(pack('f<*', @have), pack('f<*', @{ $floats->[0]{embedding} }), 'those of clm-embed');
is(json('POST', '/api/embed', { model => 'words', input => 'hello', dimensions => 5 })->{json}{embeddings}[0][4] //
	'none', json('POST', '/v1/embeddings', { model => 'words', input => [[2]], dimensions => 5 })
	->{json}{data}[0]{embedding}[4], 'for Ollama');
is(json('POST', '/v1/embeddings', { model => 'words', input => '' })->{status}, 400, 'an empty text');
is(json(@c, { model => 'words', prompt => 'x' })->{status}, 400, 'it makes no texts');
down($s, 'an encoder');
misused(qr/no model/, 'no model', 'clm-serve');
misused(qr/expected HOST:PORT/, 'no address', @serve, '-l', 'nonsense');

done_testing();
