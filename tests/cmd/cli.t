#!/usr/bin/perl
# cli.t - what every command does alike: options, misuse, help, a stdout
# that fails.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my @commands = map { m{([^/]+)\.c$} ? $1 : () } sort glob 'cmd/clm-*.c';

for my $c (@commands) {
	my $r = run($c, '-h');
	is($r->{rc}, 0, "$c -h: exit code");
	like($r->{out}, qr/^usage: $c /, "$c -h: how to call it");
	is($r->{err}, '', "$c -h: nothing on stderr");
	is(run($c, '--help')->{out}, $r->{out}, "$c --help is -h");
	is((grep { length > 100 } split /\n/, $r->{out}), 0, "$c -h: no line is over 100 columns");
	like(run($c, '--version')->{out}, qr/^$c \(clm\) \d+\.\d+\.\d+\n\z/, "$c --version");

	misused(qr/unknown option --nonesuch; see $c -h$/, "$c: unknown option", $c, '--nonesuch');
	misused(qr/unknown option -\?; see $c -h$/, "$c: unknown letter", $c, '-?');
	misused(qr/--quiet takes no value/, "$c: a value too many", $c, '--quiet=yes');
	misused(qr/--model needs a value, (?:\[NAME=\])?MODEL|unknown option --model/, "$c: a value too few", $c,
		'--model');

	$r = run({ out => '/dev/full' }, $c, '-h');
	is($r->{rc}, 4, "$c: a full disk is exit 4");
	like($r->{err}, qr/^$c: standard output: cannot write: [^\n]+\n\z/, "$c: and one line says so");

	$r = sh("$c -h | true; echo \${PIPESTATUS[0]}");
	like($r->{out}, qr/^(0|141)\n\z/, "$c: a reader that has gone");
	is($r->{err}, '', "$c: is no reason to speak");

	my @rows = split /\n/, run($c, '--completion-table')->{out};
	ok(@rows > 3, "$c: a table of options");
	is((grep { (() = /\t/g) != 5 } @rows), 0, "$c: six columns each");
	my %seen;
	is((grep { $seen{ (split /\t/)[1] }++ } @rows), 0, "$c: no option twice");
	is((grep { (split /\t/)[0] ne '-' && $seen{ (split /\t/)[0] }++ } @rows), 0,
		"$c: no letter twice");
}

# the parser, by a command that needs no device
my $t = 'clm-tokenize';
my $m = demo();
my $want = run({ in => "The hacker\n" }, $t, '-m', $m)->{out};

like($want, qr/^\d+( \d+)*\n\z/, 'ids of a text');
for (
	['a value joined to its letter', "-m$m"],
	['a value after =',              "--model=$m"],
	['-- ends options',              '-m', $m, '--'],
	['- is standard input',          '-', '-m', $m],
	['options after operands',       '-', "-m$m"],
) {
	my ($name, @args) = @$_;
	is(run({ in => "The hacker\n" }, $t, @args)->{out}, $want, $name);
}
is(run({ in => "The hacker\n", env => { CLM_MODEL => $m } }, $t)->{out}, $want, 'CLM_MODEL');
is(run({ in => "The hacker\n", env => { CLM_MODEL => '/nowhere' } }, $t, '-m', $m)->{out}, $want,
	'an option wins over its variable');
is(run({ in => "The hacker\n" }, $t, '-cm', $m)->{out}, scalar(split ' ', $want) . "\n",
	'letters joined');
misused(qr/no model: give -m MODEL, or set CLM_MODEL/, 'no model', $t);
refused(qr{^$t: /nowhere: }, 'a model that is not there', $t, '-m', '/nowhere');
misused(qr/CLM_THREADS: expected a number from 0 to 4096, found "many"/, 'a bad variable',
	{ env => { CLM_THREADS => 'many' } }, 'clm-infer', '-m', $m, '-p', 'x');

done_testing;
