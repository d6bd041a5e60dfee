#!/usr/bin/perl
# clients.t - clm-serve as the official clients of OpenAI, Ollama and
# Anthropic see it. Needs them (scripts/deps --clients); skipped without.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my ($python) = map { m{(.*)/lib/} ? "$1/bin/python" : () }
    glob 'build/venv*/lib/python3*/site-packages/anthropic';
plan skip_all => 'no clients under build/venv*' if !$python || !-x $python;

my $d = new_dir();
my $s = start('clm-serve', '-m', demo(), '--device', 'cpu', '-l', "$d/s.sock", '-l', ':0');
my $port;
for (1 .. 600) {
	($port) = (-e $s->{err_path} ? slurp($s->{err_path}) : '') =~ m{listening at http://127\.0\.0\.1:(\d+)\n};
	last if $port || waitpid($s->{pid}, 1) > 0;
	select undef, undef, undef, 0.05;
}
BAIL_OUT('no server: ' . slurp($s->{err_path})) if !$port;
my $r = run($python, 'tests/cmd/clients.py', "$d/s.sock", $port);
for (split /\n/, $r->{out}) {
	my ($not, $name) = /^(not )?ok \d+ - (.*)/ or next;
	ok(!$not, $name);
}
is($r->{rc}, 0, 'all of it ran') or diag $r->{err};
kill TERM => $s->{pid};
is(finish($s)->{rc}, 0, 'the server ends well');

done_testing();
