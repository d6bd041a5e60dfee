#!/usr/bin/perl
# serve-limits.t - what clients may take, as options, and read again at SIGHUP;
# who stands still is cut off; a context that Ollama's clients ask for.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use IO::Socket::UNIX;
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
sub settings { spit("$d/s.yaml", "model: [m=models/demo]\ndevice: cpu\nbatch: 4\ncache-tokens: 4k\ncontext: 1k\n$_[0]") }
sub metric { ask($sock, 'GET', '/metrics')->{body} =~ /^\Q$_[0]\E (\S+)/m ? $1 : -1 }
sub complete { ask($sock, 'POST', '/v1/completions', { model => 'm', max_tokens => 1, prompt => $_[0] }) }
my %chat = (model => 'm', stream => JSON::PP::false, messages => [{ role => 'user', content => 'Tell me a story.' }]);

settings("max-body: 4k\nstall-timeout: 1\nhead-timeout: 1\nbody-timeout: 1\n");
my $s = up($sock, 'clm-serve', '--config', "$d/s.yaml");
is(complete('x' x 1000)->{status}, 200, 'a body within the limit');
my $r = complete('x' x 5000);
is("$r->{status} $r->{json}{error}{message}", '413 a body of over 4096 bytes', 'one over it');

# ---- who is slow
my %late = map { my $c = IO::Socket::UNIX->new(Peer => $sock); $c->autoflush; ($_ => $c) } qw(head body stall);
print { $late{head} } "GET /health HT";
print { $late{body} } "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
my $ask = encode_json({ model => 'm', prompt => 'Once', stream => JSON::PP::true, logprobs => 20, max_tokens => 900, n => 4,
	ignore_eos => JSON::PP::true });
print { $late{stall} } "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " . length($ask) . "\r\n\r\n$ask";
ok(until_true(sub { metric('clm_requests_cancelled_total{reason="timeout"}') == 1 }), 'a stream that stands still');
is(metric('clm_requests_cancelled_total{reason="disconnect"}'), 0, 'is none that its peer left');
like(do { local $/; readline $late{head} } // '', qr/^(HTTP\/1.1 408.*)?\z/s, 'a head that does not end');
like(do { local $/; readline $late{body} } // '', qr/^HTTP\/1.1 408 /, 'a body that does not end');

# ---- read again
settings("max-body: 64k\n");
kill HUP => $s->{pid};
ok(until_true(sub { complete('x y ' x 1300)->{status} == 400 }), 'SIGHUP: the body is taken, though the prompt is too long');
settings("max-body: 16\n");
kill HUP => $s->{pid};
ok(until_true(sub { slurp($s->{err_path}) =~ /nothing reloaded: .*max-body: expected a number from 1024/ }),
	'what is wrong changes nothing');
is(complete('x' x 5000)->{status}, 400, 'the limit stays');

# ---- num_ctx
my $full = json($sock, 'POST', '/api/chat', { %chat, options => { temperature => 0, num_predict => 40 } });
my $n = $full->{prompt_eval_count};
my $short = json($sock, 'POST', '/api/chat', { %chat, options => { temperature => 0, num_ctx => $n + 5 } });
is("$short->{eval_count} $short->{done_reason}", '5 length', 'num_ctx: prompt and answer have so much room');
is(index($full->{message}{content}, $short->{message}{content}), 0, 'for the same text');
like(json($sock, 'POST', '/api/chat', { %chat, options => { num_ctx => $n - 1 } })->{error},
	qr/maximum context length is @{[$n - 1]} tokens/, 'a prompt that does not fit');
is(json($sock, 'POST', '/api/chat', { %chat, options => { temperature => 0, num_predict => 40, num_ctx => 1 << 20 } })
	->{message}{content}, $full->{message}{content}, 'more than there is is what there is');
is(ask($sock, 'POST', '/api/chat', { %chat, options => { num_ctx => $_ } })->{status}, 400, "num_ctx $_") for 0, 1.5;
down($s, 'the server');

done_testing();
