#!/usr/bin/perl
# jsonl.t - records in, records out, in order; one that fails is alone.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use IPC::Open2;
use Run;
use Test::More;

my $m = demo();
my @i = ('clm-infer', '-m', $m, '--device', 'cpu', '--jsonl');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub records { return map { $json->decode($_) } split /\n/, $_[0] }
sub lines { return join '', map { (ref $_ ? $json->encode($_) : $_) . "\n" } @_ }
sub ask { return run({ in => lines(@_) }, @i, '-n', 8) }
sub alone { my $r = run('clm-infer', '-m', $m, '--device', 'cpu', '--raw', @_); return $r->{out} }

# ---- order and ids
my @words = qw(The A In Once To And When He She It);
my @in = map { { id => "r$_", prompt => $words[$_ % @words] . " day $_", max_tokens => 3 + $_ % 9 } } 0 .. 99;
my $r = ask(@in);
is($r->{rc}, 0, 'exit 0') or diag $r->{err};
my @out = records($r->{out});
is(join(' ', map { $_->{id} } @out), join(' ', map { $_->{id} } @in), 'a record each, in order');
for my $k (0, 7, 42, 99) {
	is($out[$k]{text}, alone('-n', $in[$k]{max_tokens}, '-p', $in[$k]{prompt}), "record $k as if alone");
	ok($out[$k]{finish_reason} =~ /^(length|stop)$/ && $out[$k]{completion_tokens} <= $in[$k]{max_tokens} &&
	   $out[$k]{prompt_tokens} > 0, "record $k: the counts");
}
my @any = records(run({ in => lines(@in) }, @i, '-n', 8, '--unordered', '--batch', 7)->{out});
is_deeply([sort { $a->{id} cmp $b->{id} } @any], [sort { $a->{id} cmp $b->{id} } @out],
	'--unordered: the same records');
is(run({ in => lines(@in) }, @i, '-n', 8, '--batch', 3)->{out}, $r->{out}, '--batch 3: the same bytes');

# ---- ids come back as they were written
is(ask('{"id": 9007199254740993, "prompt": "A"}')->{out} =~ /^\{"id": 9007199254740993, /, 1, 'a long number');
is(ask('{"prompt": "A", "id": {"a": [1, null]}}')->{out} =~ /^\{"id": \{"a": \[1, null\]\}, /, 1, 'an object');
is((records(ask('', '{"prompt": "A"}', '  ', '{"prompt": "B"}')->{out}))[1]{id}, 4,
	'without one: the line, and empty lines are passed over');

# ---- options of a record
@out = records(ask({ prompt => 'The day', temp => 1, seed => 5 }, { prompt => 'The day', temp => 1, seed => 5 },
	{ prompt => 'The day', stop => [' '], max_tokens => 20 }, { ids => [5, 6, 7], max_tokens => 2 })->{out});
is($out[0]{text}, $out[1]{text}, 'a seed repeats');
is($out[0]{text}, alone('-n', 8, '--temp', 1, '--seed', 5, '-p', 'The day'), 'and is the command\'s');
unlike($out[2]{text}, qr/ /, 'stop');
is($out[3]{prompt_tokens}, 3, 'ids');
@out = records(run({ in => lines({ prompt => 'The day', logprobs => 3 }) }, @i, '-n', 4, '--ids')->{out});
is(scalar @{ $out[0]{logprobs} }, $out[0]{completion_tokens}, 'logprobs: one a token');
is(scalar @{ $out[0]{logprobs}[0]{top} }, 2, 'logprobs: and the best beside it');
is($out[0]{logprobs}[0]{id}, $out[0]{ids}[0], 'logprobs: of the ids');
ok($out[0]{logprobs}[0]{logprob} <= 0, 'logprobs: not over 0');
@out = records(run({ in => lines({ prompt => 'The day' }) }, @i, '-n', 4, '--echo')->{out});
like($out[0]{text}, qr/^The day./, '--echo');

# ---- records that fail among good ones
my @bad = (
	['{"id": "a", "prompt": "A"',        qr/./,                         'cut short'],
	['{"id": "b"}',                      qr/prompt or ids: missing/,    'nothing to do'],
	['{"id": "c", "prompt": 5}',         qr/prompt: expected a string/, 'a prompt of the wrong kind'],
	['{"id": "d", "ids": [1, -1]}',      qr/ids: expected token ids/,   'a bad id'],
	['{"id": "e", "ids": [99999999]}',   qr/99999999/,                  'an id out of range'],
	['{"id": "f", "prompt": "A", "x": 1}', qr/x: no such option/,       'an unknown option'],
	['{"id": "g", "prompt": "A", "temp": "hot"}', qr/temp: expected a number/, 'a bad option'],
	['{"id": "h", "prompt": "A", "ids": [1]}', qr/found both/,          'two prompts'],
	['[1]',                              qr/expected an object/,        'no object'],
	["{\"id\": \"i\", \"prompt\": \"\xff\"}", qr/UTF-8/i,               'no UTF-8'],
	['{"id": "j", "ids": []}',           qr/./,                         'an empty prompt'],
);
$r = ask(map { ($_->[0], { id => 'ok', prompt => 'A' }) } @bad);
is($r->{rc}, 1, 'some failed: exit 1');
is($r->{err}, '', 'in silence: the records say it');
@out = records($r->{out});
is(scalar @out, 2 * @bad, 'a record each');
for my $k (0 .. $#bad) {
	like($out[2 * $k]{error}{message} // '', $bad[$k][1], $bad[$k][2]);
	is($out[2 * $k + 1]{text}, $out[1]{text}, 'the one after it is well');
}

# ---- a line too long to hold, and the next is read
$r = sh("(echo '{\"prompt\": \"A\"}'; head -c 40000000 /dev/zero | tr '\\0' x; echo; echo '{\"prompt\": \"A\"}') | @i -n 2");
is($r->{rc}, 1, 'a line over the ceiling: exit 1');
@out = records($r->{out});
ok(@out == 3 && $out[1]{error} && $out[2]{text} eq $out[0]{text}, 'it fails alone');

# ---- an answer comes before the next question
my $pid = open2(my $from, my $to, @i, '-n', 4);
for my $k (1 .. 3) {
	print $to lines({ id => $k, prompt => "Day $k" });
	$to->flush;
	my $answer = $json->decode(scalar <$from>);
	is($answer->{id}, $k, "conversation: $k");
}
close $to;
waitpid $pid, 0;
is($? >> 8, 0, 'conversation: the end');

# ---- SIGINT keeps whole records
my $many = start({ in => lines(map { { id => $_, prompt => 'The day', max_tokens => 40 } } 1 .. 5000) }, @i);
for (1 .. 400) {
	select undef, undef, undef, 0.05;
	last if -s $many->{out_path};
}
kill INT => $many->{pid};
finish($many);
SKIP: {
	skip 'they were done already', 2 if $many->{rc} == 0;
	is($many->{rc}, 130, 'SIGINT: exit 130');
	is((grep { $_ != 1 } map { eval { ref $json->decode($_) eq 'HASH' } ? 1 : 0 } split /\n/, $many->{out}), 0,
		'SIGINT: whole records');
}

# ---- input is not read ahead without bound: the writer of an endless
# stream is held back, and ends when the reader leaves
like(sh("yes '{\"prompt\": \"A\", \"max_tokens\": 1}' | @i | head -3 | wc -l")->{out}, qr/^3\n/, 'endless input');

done_testing;
