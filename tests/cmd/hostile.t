#!/usr/bin/perl
# hostile.t - two hundred requests that nobody should send, beside streams
# that must not notice: their bytes are the same, and at the end memory,
# descriptors and pages are what they were.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
my $d = new_dir();
my $sock = "$d/s.sock";
my $s = start('clm-serve', '-q', '-m', demo(), '--device', 'cpu', '-l', $sock, '--batch', 4, '--queue', 8);
for (1 .. 600) { last if -S $sock; sleep 0.05 }
BAIL_OUT('no server: ' . slurp($s->{err_path})) if !-S $sock;
$SIG{PIPE} = 'IGNORE';

sub dial { IO::Socket::UNIX->new(Peer => $sock) // die "connect: $!" }

# What comes back until the server closes, or has nothing to say for a while.
sub raw
{
	my ($bytes, $patience) = @_;
	my $c = dial();
	my ($out, $on, $end) = ('', IO::Select->new($c), time + ($patience // 20));

	syswrite $c, $bytes if length $bytes;
	while (time < $end) {
		$on->can_read($end - time) or last;
		sysread($c, $out, 65536, length $out) or last;
	}
	return $out;
}

sub post
{
	my ($path, $body, @head) = @_;
	my $text = ref $body ? encode_json($body) : $body;

	return join "\r\n", "POST $path HTTP/1.1", 'Host: localhost', 'Connection: close',
		'Content-Length: ' . length $text, @head, '', $text;
}

# ---- the streams beside: what one says, but for its name and time
my %q = (model => 'demo', prompt => 'Once upon a time', seed => 7, temperature => 0.9, ignore_eos => $yes);
my $stream = post('/v1/completions', { %q, max_tokens => 150, stream => $yes, logprobs => 2 });
sub said
{
	my $rest = shift =~ s/\A.*?\r\n\r\n//sr;
	my $whole = '';

	while ($rest =~ s/\A([0-9a-f]+)\r\n//i && hex $1) {
		$whole .= substr $rest, 0, hex $1, '';
		$rest =~ s/\A\r\n//;
	}
	return $whole =~ s/"id":"[^"]*"|"created":\d+//gr;
}
my $want = said(raw($stream));
like($want, qr/\[DONE\]/, 'a stream');

pipe my $from, my $to or die "pipe: $!";
my $victim = fork // die "fork: $!";
if (!$victim) {
	my ($n, $bad) = (0, 0);

	while (!-e "$d/enough") {
		my $got = raw($stream, 120);

		# others may have filled the queue: that is told, and tried again
		if ($got =~ /^HTTP\/1.1 503/) { sleep 0.005; next }
		$n++;
		next if said($got) eq $want;
		spit("$d/bad", $got) if !$bad++;
	}
	syswrite $to, "$n $bad";
	POSIX::_exit(0);
}
close $to;

# ---- what is sent
my $get = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
my $put = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
my $deep = { type => 'string' };
$deep = { type => 'object', properties => { a => $deep } } for 1 .. 12;
my %defs = (d0 => { type => 'string' }, map { my $k = $_ - 1;
	("d$_" => { type => 'array', prefixItems => [({ '$ref' => "#/\$defs/d$k" }) x 8], items => $no }) } 1 .. 12);
my @chat = (messages => [{ role => 'user', content => 'Hello' }]);
sub schema { post('/v1/chat/completions', { model => 'demo', @chat, max_tokens => 2, response_format => { type => 'json_schema',
	json_schema => { name => 'x', schema => shift } } }) }

# [status, what]: 0 is any answer, or none
my @asked = (
	# heads
	(map { [400, $_] } "$get\0\r\n\r\n", "${get}X: 1\n\n", "${get}X : 1\r\n\r\n", "${get} X: 1\r\n\r\n",
		"${get}Host: localhost\r\n\r\n", "GET  /v1/models HTTP/1.1\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n", 'GET ' . "\xff" x 90 .
		" HTTP/1.1\r\n\r\n", "G\x01T / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"${put}Content-Length: -1\r\n\r\n", "${put}Content-Length: 1e9\r\n\r\n", "${put}Content-Length: 4\r\n" .
		"Content-Length: 5\r\n\r\n{}{}", "${put}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"${put}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "${put}Transfer-Encoding: identity\r\n\r\n",
		$get =~ s/models/models\/%00/r . "\r\n", $get =~ s/models/models\/%ff/r . "\r\n", $get =~ s/models/%/r . "\r\n"),
	[431, 'GET /' . 'a' x 70000], [431, "${get}X: " . 'b' x 70000 . "\r\n\r\n"],
	[431, $get . join('', map { "H$_: x\r\n" } 1 .. 5000) . "\r\n"], [413, "${put}Content-Length: 99999999999999\r\n\r\n"],
	[415, post('/v1/completions', '{}', 'Content-Encoding: br')], [403, "GET / HTTP/1.1\r\nHost: evil\r\n\r\n"],
	[403, "${get}Origin: http://evil\r\n\r\n"], [404, post('/v1/../etc/passwd', '{}')], [405, "PUT / HTTP/1.1\r\n" .
		"Host: localhost\r\nConnection: close\r\n\r\n"], [404, $get =~ s/models/models\/..%2f..%2fdemo/r . "\r\n"],
	# bodies that are no bodies
	(map { [0, "${put}Transfer-Encoding: chunked\r\n\r\n$_"] } "zz\r\n{}\r\n0\r\n\r\n", "fffffffffffffffff\r\n{}\r\n",
		"2\r\n{}xx0\r\n\r\n", "-1\r\n"),
	(map { [400, post('/v1/completions', $_)] } '', ' ', '{', '[]', 'null', '"x"', '{"a":1}{', "\xef\xbb\xbf{}", "{\"\xc3\x28\":1}",
		'{"a":1,"a":2}', '{"a":1e999}', '{"a":01}', '{"a":"\ud800"}', '{"a":"\u0000"}', '[' x 50000, '{"a":' x 50000,
		'{"model":"demo","prompt":"' . "\xf5" x 1000 . '"}', '{"model":"demo","prompt":' . '9' x 5000 . '}',
		'{' . join(',', map { qq("k$_":$_) } 1 .. 20000) . '}'),
	# members that nobody means
	(map { [400, post('/v1/completions', { %q, max_tokens => 1, %$_ })] } { n => 129 }, { n => 0 }, { n => 1.5 }, { max_tokens => -1 },
		{ max_tokens => 1e18 }, { temperature => -1 }, { temperature => 'hot' }, { top_p => 2 }, { logprobs => 21 }, { best_of => 99 },
		{ stop => [('x') x 99] }, { stop => ['x' x 100000] }, { logit_bias => { map { $_ => 1 } 1 .. 5000 } }, { logit_bias => { a => 1 } },
		{ logit_bias => { 999999999 => 1 } }, { seed => -1 }, { prompt => [[]] }, { prompt => [-1] }, { prompt => [1, 'a'] },
		{ prompt => [('x') x 200] }, { prompt => 'word ' x 40000 }, { prompt => {} }, { stream_options => 1 }, { suffix => 'x' },
		{ priority => 1000 }, { model => ['demo'] }),
	[404, post('/v1/completions', { %q, model => '../../demo' })],
	(map { [400, post('/v1/chat/completions', { model => 'demo', max_tokens => 1, @chat, %$_ })] } { messages => [] }, { messages => 'x' },
		{ messages => [1] }, { messages => [{ role => 'x' }] }, { messages => [{ role => 'user', content => 1 }] },
		{ messages => [({ role => 'user', content => 'x' }) x 5000] }, { tools => 1 }, { tools => [{}] }, { tools => [({ type => 'function',
		function => { name => 'f' } }) x 200] }, { tools => [{ type => 'function', function => { name => '../x' } }] },
		{ top_logprobs => 3 }, { audio => {} }, { modalities => ['audio'] }, { messages => [{ role => 'user', content => [{ type => 'image_url',
		image_url => { url => 'http://169.254.169.254/' } }] }] }, { messages => [{ role => 'tool', content => 'x' }] },
		{ chat_template_kwargs => { a => {} } }),
	(map { [400, post('/v1/responses', { model => 'demo', input => 'x', %$_ })] } { input => [] }, { input => [{ type => 'x' }] },
		{ background => $yes }, { previous_response_id => 'resp_1' }, { tools => [{ type => 'web_search' }] }, { truncation => 'some' }),
	[400, post('/v1/messages', { model => 'demo', messages => [{ role => 'system', content => 'x' }] })],
	[400, post('/api/generate', { model => 'demo', prompt => 'x', options => { top_k => 'x' } })],
	[400, post('/score', { model => 'demo', prompt => 'x', completion => '' })], [400, post('/tokenize', '{"content":1}')],
	[400, post('/detokenize', '{"tokens":[-5]}')], [404, post('/nothing', '{}')],
	# schemas: refused, or answered; never for long
	(map { [0, schema($_)] } $deep, { '$ref' => '#/$defs/d12', '$defs' => \%defs }, { '$ref' => '#' }, { pattern => '(a*)*b' },
		{ pattern => '(' x 2000 }, { anyOf => [({ type => 'string', pattern => '^(a|aa)+$' }) x 200] }, { minItems => 1e9, type => 'array' },
		{ type => 'string', minLength => 1e9 }, { enum => [map { 'x' x $_ } 1 .. 300] }, { allOf => [({}) x 2000] }),
);

# They stay until the end of a round: heads that drip, bodies that stop, and
# readers that do not read.
sub hold
{
	my @held = map { my $c = dial(); syswrite $c, substr($get, 0, 2 * $_); $c } 1 .. 15;

	for (1 .. 4) {
		my $c = dial();
		my $all = $_ % 2 ? $stream : $stream =~ s/"max_tokens":150/"max_tokens":6000/r;
		my $length = length(($all =~ s/\A.*?\r\n\r\n//sr));
		$all =~ s/(Content-Length: )\d+/$1$length/;
		syswrite $c, $_ % 2 ? substr $all, 0, -20 : $all;
		push @held, $c;
	}
	return @held;
}

# Peers that leave: in the queue, while the prompt is computed, and after the
# first tokens; some after saying that they send no more.
sub leave
{
	my $long = { %q, prompt => [map { 1 + $_ % 900 } 1 .. 3000], max_tokens => 4000 };
	my @gone = map { my $c = dial(); syswrite $c, post('/v1/completions', { %$long, stream => $_ > 4 ? $yes : $no, n => 1 + $_ % 3 }); $c }
		1 .. 10;

	sleep 0.03;
	for my $c (@gone[0 .. 4]) { close $c }
	for my $c (@gone[5 .. 7]) { IO::Select->new($c)->can_read(1); sysread $c, my $b, 100; close $c }
	for my $c (@gone[8, 9]) { shutdown $c, 1; sleep 0.01; close $c }
	return scalar @gone;
}

sub state
{
	my $m = raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	my %n;

	($n{pages}) = $m =~ /^clm_kv_blocks\{state="active"\} (\d+)/m;
	($n{$_}) = $m =~ /^clm_requests_$_ (\d+)/m for qw(running waiting);
	opendir my $fd, "/proc/$s->{pid}/fd" or return { fds => -1 };
	$n{fds} = grep { !/^\./ } readdir $fd;
	($n{kb}) = slurp("/proc/$s->{pid}/status") =~ /^VmRSS:\s+(\d+)/m;
	return \%n;
}

my ($n, @wrong) = (0);
sub ask_all
{
	my @held = hold();

	$n += @held + leave();
	for (@asked) {
		my ($status, $bytes) = @$_;
		my ($got) = raw($bytes, 20) =~ /^HTTP\/1.1 (\d+)/;

		$n++;
		push @wrong, "expected $status, found " . ($got // 'nothing') . ': ' . substr $bytes, 0, 300
			if $status && $status != ($got // 0) && ($got // 0) != 503;
	}
	close $_ for @held;
}

ask_all();
my $first = state();
ask_all();
spit("$d/enough", '');
my $told = do { local $/; <$from> };
waitpid $victim, 0;
my ($streams, $bad) = split / /, $told;
ok($n >= 200, "$n requests");
is("@wrong", '', 'each refused as it should be') or diag join "\n", @wrong;
ok($streams > 1, "$streams streams beside them");
is($bad, 0, 'whose bytes are those of one alone') or diag slurp("$d/bad");
my $end;
for (1 .. 200) {
	$end = state();
	last if !grep { $end->{$_} } qw(pages running waiting);
	sleep 0.05;
}
is("@$end{qw(pages running waiting)}", '0 0 0', 'no page is held, nothing runs or waits');
my $fds;
for (1 .. 100) { $fds = state()->{fds}; last if $fds <= 16; sleep 0.05 }
cmp_ok($fds, '<=', 16, 'descriptors are closed');
SKIP: {
	skip 'a sanitizer keeps what was freed', 1 if `ldd \$(command -v clm-serve)` =~ /asan/;
	cmp_ok($end->{kb}, '<', $first->{kb} + 8192, 'the second round needed no more memory');
}
kill TERM => $s->{pid};
my $r = finish($s);
is($r->{rc}, 0, 'the server ends well') or diag $r->{err};
is($r->{err}, '', 'and has nothing to say');

done_testing();
