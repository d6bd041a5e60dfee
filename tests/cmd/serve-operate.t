#!/usr/bin/perl
# serve-operate.t - a server as those who run it see it: logs, signals, a
# service manager, and what it tells of itself.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my @serve = ('clm-serve', '--device', 'cpu', '--batch', 4, '--cache-tokens', '2k');
my %q = (model => 'demo', prompt => 'Once upon a time', max_tokens => 8, temperature => 0);

# ---- logs
my $s = up($sock, @serve, '-m', demo(), '--log-format', 'json');
is(ask($sock, 'POST', '/v1/completions', \%q, 'X-Request-Id: mine')->{status}, 200, 'an answer');
kill USR1 => $s->{pid};
my $status = run('clm-serve', '--status', '-l', $sock);
is($status->{rc}, 0, '--status');
like($status->{out}, qr/^generated_tokens\t8$/m, 'tokens');
like($status->{out}, qr/^model\tdemo\topen\t\d+$/m, 'the models');
like($status->{out}, qr/^running\t0$/m, 'what runs');
my $props = json($sock, 'GET', '/props');
is("$props->{model_path} $props->{total_slots}", 'demo 4', '/props');
like($props->{chat_template}, qr/messages/, 'its template');
is_deeply(json($sock, 'GET', '/slots'), [], 'nobody runs');
my $long = begin($sock, 'POST', '/v1/completions', { %q, max_tokens => 1500, ignore_eos => JSON::PP::true });
my $slots;
ok(until_true(sub { $slots = json($sock, 'GET', '/slots'); @$slots == 1 }), 'one does');
is($slots->[0]{model}, 'demo', 'on the model');
is(ask($sock, 'GET', '/slots?fail_on_no_slot=1')->{status}, 200, 'there are more slots');
close $long;
is(ask($sock, 'GET', '/ready')->{status}, 200, 'ready');
my $r = down($s, 'a server with a log');
my @log = map { decode_json($_) } grep { /^\{/ } split /\n/, $r->{err};
is(scalar(split /\n/, $r->{err}), scalar @log, 'every line is an object');
my ($mine) = grep { ($_->{id} // '') eq 'mine' } @log;
is("$mine->{method} $mine->{path} $mine->{status} $mine->{model} $mine->{generated_tokens}",
	'POST /v1/completions 200 demo 8', 'a request');
is($mine->{peer}, "uid:$<", 'whose it is');
like($mine->{time}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'and when');
ok((grep { ($_->{message} // '') =~ /^state: model demo: open/ } @log), 'SIGUSR1 tells the state');
is(run('clm-serve', '--status', '-l', $sock)->{rc}, 4, 'nobody there');

# ---- settings again
spit("$d/keys", "old\n");
chmod 0600, "$d/keys";
spit("$d/s.yaml", 'model: [demo=' . demo() . "]\nkey-file: $d/keys\ndevice: cpu\n");
$s = up($sock, 'clm-serve', '--config', "$d/s.yaml");
my $names = sub { join ' ', map { $_->{id} } @{ json($sock, 'GET', '/v1/models', '', "X-Api-Key: $_[0]")->{data} // [] } };
is($names->('old'), 'demo', 'a key');
is(run('clm-serve', '--status', '-l', $sock, '--key-file', "$d/keys")->{rc}, 0, '--status with a key');
spit("$d/keys", "new\n");
spit("$d/s.yaml", 'model: [demo=' . demo() . ', more=' . demo() . "]\nkey-file: $d/keys\ndevice: cpu\n");
kill HUP => $s->{pid};
ok(until_true(sub { $names->('new') eq 'demo more' }), 'SIGHUP: another key, another model');
is($names->('old'), '', 'the old key is none any more');
spit("$d/s.yaml", 'model: [more=' . demo() . "]\nkey-file: $d/keys\ndevice: cpu\n");
kill HUP => $s->{pid};
ok(until_true(sub { $names->('new') eq 'more' }), 'a model that is not named any more is gone');
spit("$d/s.yaml", "model: more\nwrong: x\n");
kill HUP => $s->{pid};
spit("$d/keys", "");
kill HUP => $s->{pid};
is($names->('new'), 'more', 'settings that are wrong change nothing');
like(down($s, 'a server that reads again')->{err}, qr/nothing reloaded: .*s.yaml:2: unknown key "wrong"/, 'and are told');

# ---- a service manager: sockets come from it, and it is told
my $notify = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$d/notify");
my $listen = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$d/handed", Listen => 8);
my $pid = fork;
if (!$pid) {
	POSIX::dup2(fileno $listen, 3);
	$^F = 3;
	@ENV{qw(NOTIFY_SOCKET LISTEN_FDS LISTEN_PID)} = ("$d/notify", 1, $$);
	open STDERR, '>', '/dev/null';
	exec @serve, '-q', '-m', demo(), '-l', "$d/unused" or POSIX::_exit(127);
}
close $listen;
my $told = sub {
	my $text = '';
	vec(my $in = '', fileno $notify, 1) = 1;
	recv $notify, $text, 100, 0 if select $in, undef, undef, 20;
	return $text;
};
is($told->(), 'READY=1', 'it says when it is ready');
is(ask("$d/handed", 'GET', '/health')->{status}, 200, 'it listens at what it was handed');
ok(!-e "$d/unused", 'and nowhere else');
kill HUP => $pid;
is($told->() . ' ' . $told->(), 'RELOADING=1 READY=1', 'it says that it reloads');
kill TERM => $pid;
is($told->(), 'STOPPING=1', 'and that it ends');
waitpid $pid, 0;
is($?, 0, 'well');
ok(-e "$d/handed", 'the socket\'s file is not its own');

done_testing();
