#!/usr/bin/perl
# serve-kill.t - kill -9 at any point of what changes models: the next start
# works, lists nothing that is not whole, and leaves nothing lying about.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use Cwd 'abs_path';
use Digest::SHA qw(sha1_hex sha256_hex);
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my $demo = abs_path(demo());
my @files = grep { !/README/ } files_of($demo);
my %data = map { $_ => slurp("$demo/$_") } @files;
$ENV{XDG_DATA_HOME} = "$d/data";
my $kept = "$d/data/clm";
my %q = (prompt => 'Once upon a time', max_tokens => 4, temperature => 0);
my $want = run('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 4)->{out} =~ s/\n\z//r;
my $seed = 1;

# The same numbers each time, less than n.
sub some { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return ($seed >> 8) % $_[0] }
sub wait_ms { select undef, undef, undef, $_[0] / 1000 }
sub digest { 'sha256:' . sha256_hex($data{$_[0]}) }
sub text { json($sock, 'POST', '/v1/completions', { %q, model => $_[0] })->{choices}[0]{text} // 'none' }
sub names { sort map { $_->{id} } @{ json($sock, 'GET', '/v1/models')->{data} // [] } }
sub in { -d "$kept/$_[0]" ? files_of("$kept/$_[0]") : () }
sub killed { my ($s) = @_; kill KILL => $s->{pid}; waitpid $s->{pid}, 0 }

# ---- a hub that stops where the file "stall" says, in the middle of an answer
my $hub = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64) or die;
my $url = 'http://127.0.0.1:' . $hub->sockport;
my $tree = encode_json([map { { type => 'file', path => $_, size => length $data{$_},
	oid => sha1_hex('blob ' . length($data{$_}) . "\0$data{$_}"),
	/safetensors/ ? (lfs => { oid => sha256_hex($data{$_}), size => length $data{$_} }) : () } } @files]);
my $player = fork;
if (!$player) {
	$SIG{CHLD} = 'IGNORE';
	while (my $c = $hub->accept) {
		next if fork;
		my ($head, $line) = ('');
		while (defined($line = <$c>) && $line ne "\r\n") { $head .= $line }
		my ($path) = $head =~ /^GET (\S+)/ or POSIX::_exit(0);
		my $body = $path =~ /tree/ ? $tree : $data{$path =~ s/.*\///r} // '';
		my ($from, $size) = ($head =~ /^Range: bytes=(\d+)-/mi ? $1 : 0, length $body);
		open my $log, '>>', "$d/hub.log";
		print $log "$path $from\n";
		close $log;
		my ($where, $half) = -e "$d/stall" ? split(/ /, slurp("$d/stall")) : ('none', 0);
		POSIX::_exit(0) if $path =~ $where && !$half && !spit("$d/there", 1);
		print $c 'HTTP/1.1 ', $from ? "206 Partial Content\r\nContent-Range: bytes $from-" . ($size - 1) . "/$size" : '200 OK',
			"\r\nConnection: close\r\nContent-Length: ", $size - $from, "\r\n\r\n";
		if ($path =~ $where) {
			print $c substr $body, $from, ($size - $from) / 2 if $half;
			$c->flush;
			spit("$d/there", 1);
			sleep 20;
		}
		print $c substr $body, $from;
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
close $hub;
my $self = $$;
END { kill KILL => $player if $player && $self && $$ == $self }

my @serve = ('clm-serve', '--device', 'cpu', '--batch', 4, '--cache-tokens', '2k', '--admin', '--hub', $url);
sub pull { begin($sock, 'POST', '/api/pull', { model => 'org/small' }) }

# What every start has to find.
sub in_order
{
	my ($what, @may) = @_;
	my @lost = grep { !/^sha256-[0-9a-f]{64}$/ } in('blobs');
	my @rows = map { $_->{path} } @{ decode_json(run('clm-info', '--registry', '-j')->{out}) };
	push @lost, grep { my $made = $_; !grep { m{/\.made/$made(/|$)} } @rows } in('models/.made');
	push @lost, grep { !-e "$_/config.json" || -s "$_/model.safetensors" != length $data{'model.safetensors'} } @rows;
	push @lost, grep { my $n = $_; !grep { $n eq $_ } @may } names();
	my @parts = in('models/.parts');
	push @lost, @parts if @parts > 1;
	is("@lost", '', $what);
}

# ---- while a model is pulled
my $s = up($sock, @serve);
for (['tree', 0], ['tree', 1], ['config.json', 1], ['model.safetensors', 0], ['model.safetensors', 1],
	['tokenizer.json', 0], ['tokenizer.json', 1]) {
	my ($where, $half) = @$_;
	spit("$d/stall", "$where $half");
	unlink "$d/there";
	my $c = pull();
	until_true(sub { -e "$d/there" });
	wait_ms(30);
	killed($s);
	$s = up($sock, @serve);
	in_order("killed while it pulls: $where" . ($half ? ', half of it there' : ''));
}
unlink "$d/stall";
spit("$d/hub.log", '');
is(decode_json((split /\n/, rest_of(pull())->{body})[-1])->{status}, 'success', 'it goes on');
my $log = slurp("$d/hub.log");
unlike($log, qr{/model.safetensors}, 'with what was there whole');
like($log, qr{/tokenizer.json [1-9]}, 'and what was there in part');
is(text('org/small'), $want, 'to a model that answers');
is(join(' ', in('models/.parts')), '', 'parts are gone');

# the end comes when it comes: also between the files and the registry
for (1 .. 6) {
	ask($sock, 'DELETE', '/api/delete', { model => 'org/small' }) if $_ % 2;
	my $c = pull();
	wait_ms(1 + some(25));
	killed($s);
	$s = up($sock, @serve);
	in_order("killed in a pull of nothing, or of what is there, $_", 'org/small');
}
is(decode_json((split /\n/, rest_of(pull())->{body})[-1])->{status}, 'success', 'and once more');
is(text('org/small'), $want, 'to a model that answers');

# ---- of an upload
my $hex = sha256_hex('x' x 300000);
my $c = IO::Socket::UNIX->new(Peer => $sock);
print $c "POST /api/blobs/sha256:$hex HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n", 'x' x 200000;
$c->flush;
ok(until_true(sub { grep { /tmp/ } in('blobs') }), 'half a blob');
killed($s);
$s = up($sock, @serve);
in_order('is gone after a start', 'org/small');
is(ask($sock, 'HEAD', "/api/blobs/sha256:$hex")->{status}, 404, 'and no blob');

# ---- of everything else, over and over
ask($sock, 'POST', '/api/blobs/' . digest($_), $data{$_}) for @files;
my %of = (files => { map { $_ => digest($_) } @files });
my %may = map { $_ => 1 } 'org/small', map { ("m$_", "c$_") } 0 .. 3;
for my $round (1 .. 10) {
	my $busy = fork;
	if (!$busy) {
		for (my $i = some(8);; $i++) {
			my $m = $i % 4;
			ask($sock, 'POST', "/api/blobs/sha256:" . sha256_hex($i x 50000), $i x 50000);
			ask($sock, 'POST', '/api/create', { model => "m$m", %of });
			ask($sock, 'POST', '/api/copy', { source => "m$m", destination => "c$m" });
			ask($sock, 'DELETE', '/api/delete', { model => $_ }) for "m$m", "c" . ($m + 1) % 4;
		}
	}
	some(8);
	wait_ms(5 + some(60));
	killed($s);
	kill KILL => $busy;
	waitpid $busy, 0;
	$s = up($sock, @serve);
	in_order("killed amid changes, $round", keys %may);
}
my @left = names();
is(scalar(grep { text($_) ne $want } @left), 0, 'all that is left answers: ' . @left);
is(ask($sock, 'DELETE', '/api/delete', { model => $_ })->{status}, 200, "$_ goes") for @left;
is(join(' ', in('models/.made'), in('models/org')), '', 'with all files');

# ---- of a start
killed($s);
for (1 .. 6) {
	my $early = start(@serve, '-l', $sock);
	wait_ms(some(20));
	killed($early);
}
$s = up($sock, @serve);
in_order('killed while it starts');
my $other = up("$d/other.sock", @serve);
spit("$kept/blobs/sha256-$hex.tmp.01234567", 'x');
mkdir "$kept/models/.made/0123";
down($other, 'another beside it');
$other = up("$d/other.sock", @serve);
ok(-e "$kept/blobs/sha256-$hex.tmp.01234567" && -d "$kept/models/.made/0123", 'leaves what the first may be at');
down($other, 'another beside it');
down($s, 'the last');

done_testing();
