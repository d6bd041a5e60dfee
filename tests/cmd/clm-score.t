#!/usr/bin/perl
# clm-score.t - how likely a text is.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $m = demo();
my @s = ('clm-score', '-m', $m, '--device', 'cpu');
my $d = new_dir();

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

done_testing;
