#!/usr/bin/perl
# serve-library.t - models of a directory and of the registry, and what
# clients who may can do to them.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use Cwd 'abs_path';
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my $demo = abs_path(demo());
$ENV{XDG_DATA_HOME} = "$d/data";
my @serve = ('clm-serve', '--device', 'cpu', '--batch', 4, '--cache-tokens', '2k');
my %q = (prompt => 'Once upon a time', max_tokens => 8, temperature => 0);
my $want = run('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 8)->{out} =~ s/\n\z//r;

sub text { json($sock, 'POST', '/v1/completions', { %q, model => $_[0] })->{choices}[0]{text} }
sub names { join ' ', sort map { $_->{id} } @{ json($sock, 'GET', '/v1/models')->{data} } }
sub known { map { (split /\t/)[0] => [split /\t/] } split /\n/, run('clm-info', '--registry')->{out} }

is(run('clm-info', '--registry')->{out}, "name\tfamily\tformat\tquant\tbytes\tparameters\tsha256\tused\tpath\n",
	'nothing is known yet');
ok(!-e "$d/data", 'and looking leaves nothing behind');

# ---- a directory
mkdir "$d/models";
mkdir "$d/models/$_" for qw(own own/small empty .hidden);
spit("$d/models/own/small/$_", slurp("$demo/$_")) for files_of($demo);
symlink $demo, "$d/models/demo";
spit("$d/models/note.txt", 'x');
spit("$d/models/broken.gguf", 'GGUF and no more');
spit("$d/models/bad name.gguf", 'x');
my $s = up($sock, @serve, '--models', "$d/models");
is(names(), 'demo own/small', 'what is a model is served');
is_deeply(json($sock, 'GET', '/api/ps')->{models}, [], 'nothing is open');
my $m = json($sock, 'GET', '/v1/models/own%2Fsmall')->{meta};
ok($m->{n_params} > 0 && $m->{size} > 0 && $m->{n_ctx} > 0, 'what it is is known all the same');
is(text('own/small'), $want, 'it is opened when it is asked for');
is(text('own/small:latest'), $want, 'by its tag too');
is(ask($sock, 'POST', '/v1/completions', { %q, model => $_ })->{status}, 404, "$_: no path is taken")
	for '../models/demo', "$d/models/demo", 'own/../demo', 'own';
mkdir "$d/models/late";
spit("$d/models/late/$_", slurp("$demo/$_")) for files_of($demo);
rename "$d/models/own/small", "$d/models/own/gone";
kill HUP => $s->{pid};
ok(until_true(sub { names() eq 'demo late own/gone' }), 'SIGHUP finds what is new and forgets what is not there');
is(text('late'), $want, 'the new one answers');
my $r = down($s, 'a server of a directory');
like($r->{err}, qr/broken.gguf: left out: /, 'what is no model is told');
my %k = known();
is($k{late}[1], 'llama', 'the registry keeps the family');
ok($k{late}[5] > 0, 'and the parameters');
like($k{late}[7], qr/^20\d\d-/, 'and when it was used');
is($k{demo}[7], '-', 'or that it was not');

# ---- the registry alone; files add up by themselves
$s = up($sock, @serve, '--registry');
like(names(), qr/\bdemo late\b/, 'what is known is served');
my $sum = sh("cd $demo && sha256sum -- * | sha256sum")->{out} =~ s/ .*//sr;
ok(until_true(sub { my %n = known(); $n{demo}[6] eq $sum }), 'SHA-256 of the files');
is((map { $_->{digest} } grep { $_->{name} eq 'demo:latest' } @{ json($sock, 'GET', '/api/tags')->{models} })[0],
	$sum, 'clients are told it');
is(text('demo'), $want, 'it answers');
kill KILL => $s->{pid};
finish($s);
$s = up($sock, @serve, '--registry');
like(names(), qr/\bdemo late\b/, 'killed, and there again');
down($s, 'a server of the registry');
is(scalar @{ decode_json(run('clm-info', '--registry', '-j')->{out}) }, scalar(keys %k) - 1, 'as JSON');
spit("$d/data/clm/registry.db", 'no database at all, but text');
unlink glob "$d/data/clm/registry.db-*";
refused(qr/registry: /, 'no registry', @serve, '--registry', '-l', $sock);
refused(qr/registry: /, 'nor for clm-info', 'clm-info', '--registry');
unlink "$d/data/clm/registry.db";
is(run(@serve, '--models', "$d/none", '-l', $sock)->{rc}, 3, 'no such directory');

done_testing();
