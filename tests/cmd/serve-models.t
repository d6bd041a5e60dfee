#!/usr/bin/perl
# serve-models.t - models that come and go while a server runs.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my @serve = ('clm-serve', '--device', 'cpu', '--batch', 4, '--cache-tokens', '2k');
my %q = (prompt => 'Once upon a time', max_tokens => 8, temperature => 0);
my $want = run('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 8)->{out} =~ s/\n\z//r;

sub text { json($sock, 'POST', '/v1/completions', { %q, model => $_[0] })->{choices}[0]{text} }
sub open_ones { join ' ', sort map { $_->{name} } @{ json($sock, 'GET', '/api/ps')->{models} } }
sub end_of { json($sock, 'POST', '/api/generate', { model => $_[0], keep_alive => 0 }) }
sub line_of { my ($l) = grep { $_->{name} eq $_[0] } @{ json($sock, 'GET', '/api/ps')->{models} }; $l }

# ---- two that are open from the start
my $s = up($sock, @serve, '-m', 'one=' . demo(), '-m', 'two=' . demo());
is(open_ones(), 'one:latest two:latest', 'both are open');
is(line_of('one:latest')->{expires_at}, '2318-01-01T00:00:00Z', 'for ever');
is(text('one'), $want, 'one answers');
is(end_of('one')->{done_reason}, 'unload', 'it is let go');
is(open_ones(), 'two:latest', 'and gone');
is(text('two'), $want, 'the other stays');
is(text('one'), $want, 'it is opened for who asks');
is(open_ones(), 'one:latest two:latest', 'and there again');
is_deeply(json($sock, 'POST', '/v1/models/unload', { model => 'two' }),
	{ id => 'two', object => 'model', loaded => JSON::PP::false }, 'by name');
is(open_ones(), 'one:latest', 'gone too');
is_deeply(json($sock, 'POST', '/v1/models/load', { model => 'two' }),
	{ id => 'two', object => 'model', loaded => JSON::PP::true }, 'loaded by name');
is(open_ones(), 'one:latest two:latest', 'there');
is(ask($sock, 'POST', '/v1/models/load', { model => 'three' })->{status}, 404, 'none of that name');
is(json($sock, 'POST', '/api/chat', { model => 'two', keep_alive => '1h' })->{done_reason}, 'load', 'for an hour');
like(line_of('two:latest')->{expires_at}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'it has an end');
is(json($sock, 'POST', '/api/chat', { model => 'two', keep_alive => '10ms' })->{done_reason}, 'load', 'for a moment');
ok(until_true(sub { open_ones() eq 'one:latest' }), 'then it ends by itself');
is(ask($sock, 'POST', '/api/chat', { model => 'two', keep_alive => 'soon' })->{status}, 400, 'no duration');
end_of('one');
my @c = map { begin($sock, 'POST', '/v1/completions', { %q, model => $_ }) } qw(one two one two one two);
is(join('|', map { rest_of($_)->{json}{choices}[0]{text} } @c), join('|', ($want) x 6),
	'many wait for models that are being opened');
down($s, 'a server of two');

# ---- a ceiling with room for one, and an end by idle time
my $full = run(@serve, '-q', '-m', demo(), '--memory', 1, '-l', $sock);
is($full->{rc}, 4, 'a ceiling that nothing fits under');
like($full->{err}, qr/it holds \d+ bytes, of at most 1$/, 'says so');
$s = up($sock, @serve, '-m', 'one=' . demo());
my ($bytes) = ask($sock, 'GET', '/metrics')->{body} =~ /^clm_model_bytes\{model="one"\} (\d+)$/m;
down($s, 'a measured one');
$s = up($sock, @serve, '-m', 'one=' . demo(), '--keep-alive', 1, '--memory', int($bytes * 1.5), '-v');
ok(until_true(sub { open_ones() eq '' }), 'an idle model ends');
is(text('one'), $want, 'and comes back');
down($s, 'a server that forgets');

# ---- a swap: files change, and who runs is answered by the old ones
mkdir "$d/m";
spit("$d/m/$_", slurp(demo() . "/$_")) for files_of(demo());
$s = up($sock, @serve, '-m', "$d/m");
my $long = begin($sock, 'POST', '/v1/completions', { %q, model => 'm', max_tokens => 200, stream => JSON::PP::true });
spit("$d/m/generation_config.json", slurp("$d/m/generation_config.json") . "\n");
kill HUP => $s->{pid};
my @during = map { text('m') } 1 .. 5;
like(rest_of($long)->{body}, qr/\[DONE\]\n\n\z/, 'a stream goes on to its end');
is(join('|', @during), join('|', ($want) x 5), 'and others beside it');
ok(until_true(sub { slurp($s->{err_path}) =~ /model m: open.*model m: closed/s }), 'then the old files are let go');
spit("$d/m/config.json", '{');
kill HUP => $s->{pid};
is(text('m'), $want, 'files that are no model any more change nothing');
like(down($s, 'a swapped one')->{err}, qr/model m: open.*model m: closed/s, 'another was put in its place');

done_testing();
