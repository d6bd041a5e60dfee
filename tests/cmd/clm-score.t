#!/usr/bin/perl
# clm-score.t - how likely a text is.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP ();
use Run;
use Test::More;

my $m = demo();
my $d = new_dir();
$ENV{XDG_CACHE_HOME} = "$d/cache";
my @s = ('clm-score', '-m', $m, '--device', 'cpu');

sub score
{
	my $r = run(@_);
	my ($head, @rows) = split /\n/, $r->{out};

	is($r->{rc} . $r->{err}, '0', 'exit 0, in silence');
	is($head, "tokens\tscored\tnll\tppl", 'a header');
	return map { [split /\t/] } @rows;
}
sub near { my ($got, $want, $name) = @_; ok(abs($got - $want) <= 2e-5 * abs $want, $name) or diag "$got, $want" }

my $text = slurp('tests/data/demo/heldout.txt');
$text = substr $text, 0, 6000;
my ($r) = score({ in => $text }, @s, '--window', 256);
is($r->[1], $r->[0] - int(($r->[0] + 255) / 256), 'every token but the first of each window');
near($r->[3], exp($r->[2] / $r->[1]), 'perplexity is exp of the mean');
ok($r->[3] > 1 && $r->[3] < 500, 'a trained model') or diag $r->[3];
near((score({ in => $text }, @s, '--window', 256, '--exact'))[0][3], $r->[3], '--exact is close')
	if 0; # within 1e-4 nats, not 2e-5

my ($k) = score({ in => $text }, @s, '--window', 256, '--first', 128);
ok($k->[1] < $r->[1] * 0.55 && $k->[3] < $r->[3] * 1.05, '--first: later tokens only');
my ($w) = score({ in => $text }, @s, '--window', 256, '--whole-only');
is($w->[1], 255 * int($w->[0] / 256), '--whole-only');

# ---- many texts
my @rows = score({ in => "The hacker said\nThe end of the day\n" }, @s, '--lines');
is(scalar @rows, 2, 'a row each');
near($rows[1][2], (score({ in => 'The end of the day' }, @s))[0][2], 'as if alone');
my $ids = run({ in => "The hacker said\n" }, 'clm-tokenize', '-m', $m)->{out};
near((score({ in => $ids }, @s, '--ids'))[0][2], $rows[0][2], '--ids');

# ---- refusals
misused(qr/no model/, 'no model', 'clm-score', '-');
misused(qr/--first: expected less than/, '--first past the window', { in => 'A' }, @s, '-w', 16, '--first', 16);
misused(qr/--window: expected a number from 2/, 'a window of one', @s, '--window', 1);
my $bad = run({ in => 'x' }, @s, '--ids');
is($bad->{rc}, 3, 'ids that are none');
like($bad->{err}, qr/^clm-score: standard input: text 1: byte 0: expected decimal/, 'and where');
refused(qr{^clm-score: /no/where}, 'no such model', { in => 'x' }, 'clm-score', '-m', '/no/where');

# ---- given a prompt, token by token
{
	my @p = (@s, '-p', 'The hacker');
	my ($all) = score({ in => 'The hacker is a' }, @s);
	my ($given) = score({ in => ' is a' }, @p);
	my ($alone) = score({ in => 'The hacker' }, @s);
	near($given->[2], $all->[2] - $alone->[2], 'what a text adds to its prompt');
	my ($tokens) = score({ in => ' is a' }, @p, '--boundary', 'tokens');
	is($tokens->[1] > 0, 1, '--boundary tokens');
	my $r = run({ in => ' is a' }, @p, '--tokens');
	my ($head, @rows) = split /\n/, $r->{out};
	my $sum = 0;
	$sum -= (split /\t/)[3] for @rows;
	is(scalar @rows, $given->[1], '--tokens: a line each');
	near($sum, $given->[2], '--tokens: they add up');
	$r = run({ in => 'x' }, @s, '--boundary', 'tokens');
	is($r->{rc}, 2, '--boundary without --prompt');
}

# ---- records: each as it would be alone, in order, failures told
{
	my @records = (
		{ id => 'a', prompt => 'The hacker', completion => ' is a' },
		{ id => 7, text => 'The hacker is a', tokens => JSON::PP::true },
		{ prompt => 'The hacker', top => 4 },
		{ prompt => 'The hacker', completion => '' },
		{ prompt => 'The hac', completion => 'ker is' },
		{ prompt => 'The hac', completion => 'ker is', boundary => 'tokens' },
		{ ids => [5] }, { ids => [5, 1000000] }, { text => 'x', prompt => 'y' },
		{ prompt_ids => [5, 6], completion_ids => [7] }, { text => 'x', bottom => 1 },
		map { { text => substr($text, 97 * $_, 40 + 7 * $_) } } 1 .. 12);
	my $json = JSON::PP->new->canonical;
	my $in = join '', map { $json->encode($_) . "\n" } @records;
	my @j = (@s, '--jsonl', '--no-cache');
	my $r = run({ in => $in }, @j);
	my @out = split /\n/, $r->{out};
	is($r->{rc} . $r->{err}, '1', 'exit 1: some failed');
	is(scalar @out, scalar @records, 'a record each');
	for my $i (0 .. 2, 5, 6, 9, 11, 17) {
		my %alone = %{ $records[$i] };
		$alone{id} //= $i + 1;
		is(run({ in => $json->encode(\%alone) }, @j)->{out}, "$out[$i]\n", "record $i, as alone");
	}
	my @o = map { $json->decode($_) } @out;
	is($o[0]{id} . $o[1]{id} . $o[2]{id}, 'a73', 'ids come back');
	my $sum = 0;
	$sum += $_ for @{ $o[1]{logprobs} };
	near($sum, $o[1]{logprob}, 'log-probabilities add up');
	is(@{ $o[1]{ids} } . @{ $o[1]{logprobs} } . $o[1]{tokens}, '434', 'N ids, N - 1 of them');
	near(-(split /\t/, (score({ in => ' is a' }, @s, '-p', 'The hacker'))[0][2])[0], $o[0]{logprob},
		'a completion is a text given a prompt');
	my $mass = exp $o[2]{tail_logprob};
	$mass += exp for @{ $o[2]{logprobs} };
	near($mass, 1, 'a distribution and its tail');
	is_deeply([map { $_->{error} ? $_->{error}{type} : '' } @o[3, 4, 7, 8, 10]], [('input') x 5], 'refused');
	like($o[3]{error}{message}, qr/adds no token to prompt "The hacker"/, 'an empty completion');
	like($o[4]{error}{message}, qr/spans the end of the prompt/, 'a token across the border');
	is($o[6]{scored} . '|' . $o[6]{logprob}, '0|0', 'one token: nothing is scored');

	# from the cache the same bytes, with a trace of what was there
	is(run({ in => $in }, @s, '--jsonl')->{out}, $r->{out}, 'kept');
	my $again = run({ in => $in }, @s, '--jsonl', '--trace', "$d/trace");
	is($again->{out}, $r->{out}, 'known');
	my @t = map { $json->decode($_) } split /\n/, slurp("$d/trace");
	is(scalar(grep { $_->{cached} } @t), scalar(grep { !$_->{error} } @o), '--trace: all were known');
	is(join(' ', map { $_->{op} } @t[0 .. 2]), 'logprob_of rolling_logprob next_token_dist', '--trace: ops');
	my ($pack) = glob "$d/cache/clm/scores/*";
	spit($pack, substr slurp($pack), 0, 999);
	is(run({ in => $in }, @s, '--jsonl')->{out}, $r->{out}, 'a spoilt cache is none');
	isnt(run({ in => $in }, @s, '--jsonl', '--exact')->{out}, $r->{out}, 'other numbers have other keys');

	my ($head, @rows) = split /\n/, run({ in => "The hacker\n" }, @s, '--top', 4)->{out};
	is($head, "text\trank\tid\tlogprob", '--top: a header');
	is(join(' ', map { (split /\t/)[2] } @rows), "@{ $o[2]{ids} } -", '--top: ids, and the tail');
	is((split /\n/, run({ in => 'The' }, @s, '--top', '1m')->{out})[-1] =~ /tail/, '', 'all ids: no tail');
	is(scalar(split /\n/, run({ in => "A b\nC d\n" }, @s, '--lines', '-f', 'jsonl')->{out}), 2, '-f jsonl');
	my $place = delete $ENV{XDG_CACHE_HOME};
	for my $home (undef, '/dev/null') {
		local $ENV{HOME} = $home;
		delete $ENV{HOME} unless defined $home;
		my $r = run({ in => $in }, @s, '--jsonl');
		is($r->{out} . $r->{err}, join("\n", @out, ''), 'no place for a cache: no cache, in silence');
	}
	$ENV{XDG_CACHE_HOME} = $place;
	misused(qr/--jsonl takes/, '--jsonl --lines', @s, '--jsonl', '--lines');
	misused(qr/--top goes without/, '--top --tokens', @s, '--top', 2, '--tokens');
}

# ---- perplexity as others define it
{
	my @p = ({ in => $text }, @s, '-w', 128, '--perplexity');
	my ($head, $row) = split /\n/, run(@p, 'llama.cpp')->{out};
	is($head, "definition\ttokens\tscored\tnll\tppl\tstderr", 'a header');
	my @l = split /\t/, $row;
	is($l[2], 63 * int($l[1] / 128), 'llama.cpp: the second half of each window but one');
	near($l[3], (score({ in => $text }, @s, '-w', 128, '--first', 65, '--whole-only'))[0][2], 'llama.cpp');
	my @x = split /\t/, (split /\n/, run(@p, 'mlx-lm')->{out})[1];
	is($x[2], 127 * int($x[1] / 128), 'mlx-lm: whole windows');
	near($x[3], (score({ in => $text }, @s, '-w', 128, '--whole-only'))[0][2], 'mlx-lm') if $l[1] % 128 < 127;
	ok($x[5] > 0 && $x[5] < $x[4], 'mlx-lm: how sure') or diag $x[5];
	like(run({ in => 'A b' }, @s, '-w', 128, '--perplexity', 'llama.cpp')->{err},
		qr/expected 256 tokens at least, found/, 'llama.cpp: too short');
}

# ---- a model beside itself under an adapter, and beside another
{
	my ($g, $a) = map { "tests/data/golden/$_" } 'llama', 'adapters/peft_dora';
	my $ids = { in => join(' ', map { $_ * 37 % 320 } 1 .. 70) . "\n" };
	my @d = ($ids, 'clm-score', 'diff', $g, '--ids', '--device', 'ref', '-w', 32);
	my ($head, @rows) = split /\n/, run(@d, '--adapter', "$a=2", '--scale', '0,0.25,0.5')->{out};
	is($head, "scale\ttokens\tppl_base\tppl\tkl\tkl_reverse\tjs\tkl_most\ttop1", 'diff: a header');
	my @r = map { [split /\t/] } @rows;
	is("@{ $r[0] }[0, 1, 4 .. 8]", '0 67 0 0 0 0 1', 'at 0 it is the model');
	is($r[0][3], $r[0][2], 'with its perplexity');
	ok($r[2][4] > $r[1][4] && $r[1][4] > 0 && $r[2][6] < log 2, 'it goes away as the scale grows');
	my @alone = ($ids, 'clm-score', '-m', $g, '--ids', '--device', 'ref', '-w', 32, '--adapter');
	near($r[2][3], (split /\t/, (split /\n/, run(@alone, $a)->{out})[1])[3], 'a scale times the own one');
	run('clm-convert', $g, '--adapter', $a, '--fuse', '--dtype', 'f32', '-o', "$d/fused");
	my @f = split /\t/, (split /\n/, run(@d, '--against', "$d/fused")->{out})[1];
	ok(abs($f[4] - $r[2][4]) < 1e-3 * $f[4], '--against the fused model') or diag "$f[4] $r[2][4]";
	like(run(@d, '--adapter', $a, '-f', 'jsonl')->{out}, qr/^\{"scale": 1, .*"top1": [\d.]+\}\n\z/, 'as JSON');
	run('clm-quantize', '-q', '-t', '3', $m, '-o', "$d/three");
	my @jsonl = ('clm-score', 'diff', $m, '--jsonl', '--device', 'cpu', '--against', "$d/three");
	my $pair = '{"prompt": "She was", "completion": " tired and went home"}';
	my $r = run({ in => qq({"id": "a", "text": "She was tired and went home"}\n\n$pair\n) .
		qq({"id": 9, "prompt_ids": [5], "top": 3}\n{"id": 10, "ids": [99999, 1]}\n) }, @jsonl);
	my @back = map { JSON::PP::decode_json($_) } split /\n/, $r->{out};

	is($r->{rc} . $r->{err}, '1', 'diff: records, some are refused');
	is_deeply([ map { $_->{id} } @back ], [ 'a', 3, 9, 10 ], 'in order');
	my $alone = run({ in => 'She was tired and went home' }, (grep { $_ ne '--jsonl' } @jsonl), '-f', 'jsonl');
	my %all = %{ $back[0] };
	delete $all{id};
	is_deeply(\%all, JSON::PP::decode_json($alone->{out}), 'the same as of the text alone');
	ok($back[1]{tokens} < $all{tokens} && $back[1]{kl} > 0, "a completion's tokens alone");
	like("$back[2]{error}{message} $back[3]{error}{message}", qr/takes a text.*expected an id/, 'why');
	misused(qr/--jsonl takes texts/, 'records as a table', @jsonl, '-f', 'tsv');
	misused(qr/expected --adapter, or --against/, 'diff of nothing', @d);
	misused(qr/--scale: expected numbers/, 'no such scale', @d, '--adapter', $a, '--scale', '1,x');
	misused(qr/go with diff/, '--scale without diff', { in => 'x' }, @s, '--scale', 1);
	misused(qr/diff takes/, 'diff --tokens', @d, '--adapter', $a, '--tokens');
	refused(qr/vocabularies of 4096 and 320/, 'other words', { in => 'x y' }, 'clm-score', 'diff', $m,
		'--against', $g);
}

done_testing;
