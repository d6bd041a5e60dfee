#!/usr/bin/perl
# clm-infer.t - texts continued: how prompts come in, what goes out, what
# ends it.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $m = demo();
my @i = ('clm-infer', '-m', $m, '--device', 'cpu');
my $p = 'The hacker';

sub out { my $r = run(@_); is($r->{rc}, 0, 'exit 0') or diag $r->{err}; return $r->{out} }

# ---- ways in
my $text = out({ in => "$p\n" }, @i, '-n', 24);
like($text, qr/^.+\n\z/s, 'a text, ended by a newline');
is(out(@i, '-n', 24, '-p', $p), $text, '-p');
is(out({ in => $p }, @i, '-n24'), $text, 'the final newline does not count');
is(out({ in => $p }, @i, '-n', 24, '-'), $text, '-');
is(out({ in => $p }, @i, '-n', 24, '--raw') . "\n", $text, '--raw adds no newline');
is(out({ in => $p }, @i, '-n', 24, '--echo'), "$p$text", '--echo');
is(out({ in => "$p\n" }, @i, '-n', 24, '--chunk', 1), $text, '--chunk 1 changes nothing');
is(out({ in => "$p\n" }, @i, '-n', 24, '--threads', 1), $text, '--threads 1 changes nothing');

my $d = new_dir();
spit("$d/a", "A day\n");
is(out(@i, '-n', 8, '-p', 'is', "$d/a"), out(@i, '-n', 8, '-p', "A day\nis"), 'a FILE, then -p');

# ---- ids
my $ids = out({ in => out({ in => $p }, 'clm-tokenize', '-m', $m) }, @i, '--ids', '-n', 24);
like($ids, qr/^\d+( \d+)*\n\z/, '--ids: a line of ids');
is(out({ in => $ids }, 'clm-tokenize', '-m', $m, '-d'), $text, '--ids: the same text');
is(sh("echo '$p' | clm-tokenize -m $m | @i --ids -n 24 | clm-tokenize -m $m -d")->{out}, $text,
	'three commands in a pipe');
is(out(@i, '--ids', '-n', 4, '--echo', '-p', '5 6 7') =~ /^5 6 7( \d+){1,4}\n\z/, 1, '--ids --echo');

# ---- adapters
{
	my ($g, $a) = map { "tests/data/golden/$_" } 'llama', 'adapters/peft_lora';
	my @a = ('clm-infer', '-m', $g, qw(--ids -n 6 -p), '1 138 221');
	local $ENV{XDG_CACHE_HOME} = new_dir();
	my $base = out(@a);
	isnt(out(@a, '--adapter', $a), $base, '--adapter');
	is(out(@a, '--adapter', "$a=0"), $base, '--adapter DIR=0 is the model');
	is(out(@a, '--adapter', "$a=0.5", '--adapter', "$a=0.5"), out(@a, '--adapter', $a),
		'two halves');
	my $r = run(@a, '--adapter', "$a=x");
	is($r->{rc}, 2, '--adapter: a scale that is no number');
	$r = run(@a, '--adapter', $g);
	is($r->{rc}, 3, '--adapter: no adapter');
	like($r->{err}, qr/expected an adapter/, 'says so');
}

# ---- many texts
my @prompts = ('The hacker', 'A', 'In the beginning', 'Once upon a time there was', 'To be');
my @alone = map { out(@i, '-n', 12, '--raw', '-p', $_) } @prompts;
is(out({ in => join("\0", @prompts) }, @i, '-n', 12, '-0'), join('', map { "$_\0" } @alone), '-0');
is(out({ in => join("\n", @prompts) }, @i, '-n', 12, '--lines'), join('', map { "$_\n" } @alone),
	'--lines: in order, as if alone');
is(out({ in => join("\n", @prompts) }, @i, '-n', 12, '--lines', '--batch', 2),
	join('', map { "$_\n" } @alone), '--batch 2');
spit("$d/$_", $prompts[$_]) for 0 .. $#prompts;
is(out(@i, '-n', 12, map { "$d/$_" } 0 .. $#prompts), join('', map { "$_\n" } @alone),
	'several files');

# ---- sampling
my @s = (@i, '-n', 20, '-p', $p, '--temp', 1);
is(out(@s, '--seed', 1), out(@s, '--seed', 1), 'a seed repeats');
isnt(out(@s, '--seed', 1), out(@s, '--seed', 2), 'another seed is another text');
is(out(@s, '--top-k', 1), out(@i, '-n', 20, '-p', $p), 'the best of one is the best');
my ($word) = $text =~ /(\w{3,})/;
SKIP: {
	skip 'no word in the text', 2 if !$word;
	is(out(@i, '-n', 24, '-p', $p, '--stop', $word) . 'x', substr($text, 0, index $text, $word) . "\nx",
		'--stop');
	is(out(@i, '-n', 24, '-p', $p, '--stop', $word, '--stop', substr($text, 0, 2)), "\n",
		'--stop again');
}
is(out(@i, '-n', 0, '-p', $p), "\n", '-n 0 only computes');

# ---- what is told
my $r = run(@i, '-n', 4, '-p', $p, '-v');
like($r->{err}, qr/^clm-infer: backend=cpu device="[^"]+" rows=\S+/m, '-v: what runs');
like($r->{err}, qr/prompt_tokens=\d+ prompt_tps=\S+ made_tokens=4 made_tps=\S+/, '-v: how fast');
is(run(@i, '-n', 4, '-p', $p)->{err}, '', 'silence otherwise');

# ---- refusals
refused(qr/context|position|tokens/, 'a prompt that does not fit is not cut', { in => 'word ' x 40 },
	@i, '--context', 16, '-n', 8);
refused(qr/no such file/, 'no such prompt', @i, '/no/such/file');
refused(qr/expected decimal token ids/, 'ids that are none', @i, '--ids', '-p', 'x');
refused(qr/99999/, 'an id out of range', @i, '--ids', '-p', '99999999');
misused(qr/--temp/, 'a temperature below 0', @i, '-p', $p, '--temp', -1);
misused(qr/--top-p/, 'a probability over 1', @i, '-p', $p, '--top-p', 2);
misused(qr/--jsonl takes its prompts/, '-p with --jsonl', @i, '--jsonl', '-p', $p);
misused(qr/--unordered goes with/, '--unordered alone', @i, '--unordered', '-p', $p);
misused(qr/opposites/, '--exact --fast', @i, '--exact', '--fast', '-p', $p);
my $bad = run(@i[0 .. 2], '-p', $p, '--device', 'abacus');
ok($bad->{rc} >= 2 && $bad->{rc} <= 4 && $bad->{err} =~ /^clm-infer: [^\n]*abacus[^\n]*\n\z/,
	'no such device') or diag "$bad->{rc} $bad->{err}";
$r = run({ in => "A\n\nB\n" }, @i, '--ids', '-n', 2);
is($r->{rc}, 1, 'lines that fail: exit 1');
is($r->{err} =~ tr/\n//, 3, 'a line each on stderr');
is($r->{out}, "\n\n\n", 'and their places kept');

# ---- a terminal: it says what it wants and does not wait
SKIP: {
	skip 'no script(1)', 1 if system 'command -v script >/dev/null';
	my $tty = sh("script -qec 'clm-infer -m $m; echo rc=\$?' /dev/null < /dev/null");
	like($tty->{out}, qr/no prompt: give -p TEXT.*rc=2/s, 'no prompt in a terminal');
}

# ---- readers that leave, disks that fill
like(sh("@i -n 200 --ignore-eos -p '$p' | head -c 5 | wc -c; echo \${PIPESTATUS[0]}")->{out},
	qr/^5\n(0|141)\n\z/, '| head');
$r = run({ out => '/dev/full' }, @i, '-n', 4, '-p', $p);
is($r->{rc}, 4, '/dev/full: exit 4');
like($r->{err}, qr/^clm-infer: standard output: cannot write: [^\n]+\n\z/, '/dev/full: one line');

# ---- SIGINT: what was made stays
my $long = start(@i, '-n', 4000, '--ignore-eos', '-p', $p);
for (1 .. 200) {
	select undef, undef, undef, 0.05;
	last if -s $long->{out_path};
}
kill INT => $long->{pid};
finish($long);
is($long->{rc}, 130, 'SIGINT: exit 130');
like($long->{out}, qr/^.+\n\z/s, 'SIGINT: the beginning of the text');
is($long->{err}, '', 'SIGINT: in silence');

# ---- a cache in a file
my @c = (@i, '-p', $p);
out(@c, '-n', 0, '--save-cache', "$d/cache");
is(out({ in => '' }, @i, '-n', 24, '--load-cache', "$d/cache"), $text, 'a prompt resumed');
out(@c, '-n', 8, '--save-cache', "$d/cache");
my $head = out(@c, '-n', 8, '--raw');
is($head . out({ in => '' }, @i, '-n', 16, '--load-cache', "$d/cache"), $text, 'a text resumed');
refused(qr{^clm-infer: \Q$d\E/none: }, 'no such cache', @c, '--load-cache', "$d/none");
refused(qr{^clm-infer: \Q$d\E/a: }, 'a file that is none', @c, '--load-cache', "$d/a");
misused(qr/go with one text/, 'a cache of many texts', @i, '--lines', '--save-cache', "$d/x");
my @h = ('clm-infer', '-m', 'tests/data/golden/lfm2', '--ids');
out(@h, '-p', '1 231 41 102 224 295', '-n', 9, '--save-cache', "$d/state");
is(out({ in => '' }, @h, '-n', 7, '--load-cache', "$d/state"),
	join(' ', (split ' ', out(@h, '-p', '1 231 41 102 224 295', '-n', 16))[9 .. 15]) . "\n",
	'states of a recurrent model resumed');
is(join(' ', grep { /tmp/ } files_of($d)), '', 'nothing left behind');

done_testing;
