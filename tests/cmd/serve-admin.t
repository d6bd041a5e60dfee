#!/usr/bin/perl
# serve-admin.t - models that clients add and take away: blobs, create, copy,
# delete, and pulls from a hub that this test plays.
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
my @serve = ('clm-serve', '--device', 'cpu', '--batch', 4, '--cache-tokens', '2k');
my %q = (prompt => 'Once upon a time', max_tokens => 8, temperature => 0);
my $want = run('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 8)->{out} =~ s/\n\z//r;

sub text { json($sock, 'POST', '/v1/completions', { %q, model => $_[0] })->{choices}[0]{text} // 'none' }
sub names { join ' ', sort map { $_->{id} } @{ json($sock, 'GET', '/v1/models')->{data} } }
sub digest { 'sha256:' . sha256_hex($data{$_[0]}) }

# ---- off unless it is asked for
my $s = up($sock, @serve, '-q', '-m', demo());
is(ask($sock, @$_)->{status}, 403, "@$_[0, 1]: not for clients")
	for ['POST', '/api/copy', '{}'], ['DELETE', '/api/delete', '{}'], ['POST', '/api/create', '{}'],
	['POST', '/api/pull', '{}'], ['POST', '/api/blobs/' . digest('config.json'), 'x'],
	['HEAD', '/api/blobs/' . digest('config.json')];
down($s, 'a server that lets nobody');

# ---- blobs and what is made of them
$s = up($sock, @serve, '-m', 'own=' . demo(), '--admin');
is(ask($sock, 'POST', '/api/blobs/' . digest($_), $data{$_})->{status}, 201, "blob: $_") for @files;
is(ask($sock, 'POST', '/api/blobs/' . digest('config.json'), 'whatever')->{status}, 200, 'it is there already');
is(ask($sock, 'HEAD', '/api/blobs/' . digest('config.json') =~ s/:/-/r)->{status}, 200, 'found');
is(ask($sock, 'HEAD', '/api/blobs/sha256:' . '0' x 64)->{status}, 404, 'not found');
is(ask($sock, 'POST', "/api/blobs/$_", 'x')->{status}, 400, "no digest: $_")
	for 'sha256:12', 'sha1:' . '0' x 64, '..%2f..%2fx', 'sha256-' . 'g' x 64;
my $bad = ask($sock, 'POST', '/api/blobs/sha256:' . '0' x 64, 'bytes');
is("$bad->{status} $bad->{json}{error}", '400 digest mismatch, expected "sha256:' . '0' x 64 . '", got "sha256:'
	. sha256_hex('bytes') . '"', 'bytes of another digest');
is(join(' ', grep { !/^sha256-[0-9a-f]{64}$/ } files_of("$d/data/clm/blobs")), '', 'and nothing is left of them');
my %create = (model => 'team/mine', files => { map { $_ => digest($_) } @files }, system => 'Be brief.',
	parameters => { temperature => 0, num_predict => 5 });
my @lines = split /\n/, ask($sock, 'POST', '/api/create', \%create)->{body};
is(decode_json($lines[-1])->{status}, 'success', 'a model of blobs');
is(text('team/mine'), $want, 'it answers');
my $said = json($sock, 'POST', '/api/chat', { model => 'team/mine', stream => JSON::PP::false,
	messages => [{ role => 'user', content => 'Hello' }] });
my $same = json($sock, 'POST', '/api/chat', { model => 'own', stream => JSON::PP::false, options => $create{parameters},
	messages => [{ role => 'system', content => 'Be brief.' }, { role => 'user', content => 'Hello' }] });
is($said->{message}{content}, $same->{message}{content}, 'with what it was created with');
is($said->{prompt_eval_count}, $same->{prompt_eval_count}, 'the system message too');
is_deeply(json($sock, 'POST', '/api/create', { model => 'again:v2', from => 'team/mine', stream => JSON::PP::false }),
	{ status => 'success' }, 'from another, in one answer');
my @before = ({ role => 'user', content => 'Hi' }, { role => 'assistant', content => 'Hello.' });
is(ask($sock, 'POST', '/api/create', { model => 'told', from => 'own', messages => \@before, system => 'Be brief.',
	parameters => { stop => ['a', 'b'], temperature => 0, num_predict => 5 }, license => ['one', 'two'] })->{status}, 200,
	'messages of its own');
my $with = json($sock, 'POST', '/api/chat', { model => 'told', stream => JSON::PP::false,
	messages => [{ role => 'user', content => 'Hello' }] });
my $plain = json($sock, 'POST', '/api/chat', { model => 'own', stream => JSON::PP::false, options => { temperature => 0,
	num_predict => 5, stop => ['a', 'b'] }, messages => [{ role => 'system', content => 'Be brief.' }, @before,
	{ role => 'user', content => 'Hello' }] });
is_deeply([@$with{qw(prompt_eval_count message)}], [@$plain{qw(prompt_eval_count message)}], 'go before the others');
is(json($sock, 'POST', '/api/generate', { model => 'told', stream => JSON::PP::false, prompt => 'Hello' })->{response},
	$plain->{message}{content}, 'and before a prompt');
my $show = json($sock, 'POST', '/api/show', { model => 'told' });
is("$show->{system}|$show->{license}", "Be brief.|one\ntwo", 'shown: system and license');
is_deeply([sort split /\n/, $show->{parameters}], [map { sprintf '%-30s %s', @$_ } ['num_predict', 5], ['stop', '"a"'],
	['stop', '"b"'], ['temperature', 0]], 'parameters');
is_deeply($show->{messages}, \@before, 'messages');
like($show->{modelfile}, qr/^FROM told\n(PARAMETER .*\n){4}SYSTEM """Be brief."""\nMESSAGE user """Hi"""\n/, 'a Modelfile');
is(ask($sock, 'DELETE', '/api/delete', { model => 'told' })->{status}, 200, 'gone');
is(ask($sock, 'POST', '/api/create', { %create, @$_ })->{status}, 400, "no creation: $_->[0]")
	for [files => { '../x' => digest('config.json') }], [files => { x => 'sha256:1' }], [files => {}],
	[model => '../mine'], [model => '/mine'], [model => 'a/b/c/d'], [template => 'x'], [messages => [{ role => 'x' }]], [license => 1], [parameters => [1]], [model => 'own'];
is(ask($sock, 'POST', '/api/create', { model => 'x', files => { x => digest('config.json') } })->{status}, 400,
	'files that are no model');
is(ask($sock, 'POST', '/api/copy', { source => 'team/mine', destination => 'copy' })->{status}, 200, 'a copy');
is(ask($sock, 'POST', '/api/copy', { source => 'nobody', destination => 'x' })->{status}, 404, 'of nobody');
is(names(), 'again:v2 copy own team/mine', 'all of them');
is(ask($sock, 'DELETE', '/api/delete', { model => 'team/mine' })->{status}, 200, 'one goes');
is(text('copy'), $want, 'its files stay, for the copy');
is(ask($sock, 'DELETE', '/api/delete', { name => 'own' })->{status}, 400, 'the server\'s own stays');
kill KILL => $s->{pid};
finish($s);
$s = up($sock, @serve, '-m', 'own=' . demo(), '--admin');
is(names(), 'again:v2 copy own', 'killed, and all are there again');
is(text('again:v2'), $want, 'and answer');
is(ask($sock, 'DELETE', '/api/delete', { model => $_ })->{status}, 200, "$_ goes") for 'copy', 'again:v2';
is(join(' ', files_of("$d/data/clm/models/.made")), '', 'with the last the files do');
down($s, 'a server with an administrator');

# ---- a hub: lists, files, ranges; one connection breaks off in the middle
my %lfs = ('model.safetensors' => 1);
my $hub = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or die;
my $url = 'http://127.0.0.1:' . $hub->sockport;
sub tree { encode_json([map { { type => 'file', path => $_, size => length $data{$_} // 3,
	oid => sha1_hex('blob ' . length($data{$_} // 'abc') . "\0" . ($data{$_} // 'abc')),
	$lfs{$_} ? (lfs => { oid => sha256_hex($data{$_}), size => length $data{$_} }) : () } } @_]) }
my %tree = (small => tree(@files, 'README.md', 'pytorch_model.bin'), two => tree('a.gguf', 'b.gguf'),
	none => tree('README.md'), liar => tree(@files) =~ s/"oid":"[0-9a-f]{40}"/'"oid":"' . '0' x 40 . '"'/gre);
my $player = fork;
if (!$player) {
	my $broke = 0;
	while (my $c = $hub->accept) {
		my ($head, $line) = ('');
		while (defined($line = <$c>) && $line ne "\r\n") { $head .= $line }
		open my $log, '>>', "$d/hub.log";
		print $log $head =~ /^(GET \S+)/, $head =~ /^Range: (\S+)/mi ? " $1" : '', "\n";
		close $log;
		my ($status, $body) = ('404 Not Found', '');
		if ($head =~ m{^GET /api/models/org/(\w+)/tree/main\?}) {
			($status, $body) = ('200 OK', $tree{$1}) if $tree{$1};
		} elsif ($head =~ m{^GET /org/\w+/resolve/main/(\S+) } && defined $data{$1}) {
			($status, $body) = ('200 OK', $data{$1});
			my $length = length $body;
			if ($head =~ /^Range: bytes=(\d+)-/mi) {
				($status, $body) = ("206 Partial Content\r\nContent-Range: bytes $1-" . ($length - 1) . "/$length",
					substr $body, $1);
			} elsif ($1 eq 'model.safetensors' && !$broke++) {
				print $c "HTTP/1.1 200 OK\r\nContent-Length: $length\r\n\r\n" . substr $body, 0, $length / 2;
				close $c;
				next;
			}
			select undef, undef, undef, 0.3 if $1 eq 'model.safetensors';
		}
		print $c "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
		close $c;
	}
	POSIX::_exit(0);
}
close $hub;
$s = up($sock, @serve, '--admin', '--hub', $url);
my @both = map { begin($sock, 'POST', '/api/pull', { model => 'org/small' }) } 1, 2;
my $left = begin($sock, 'POST', '/api/pull', { name => 'org/small' });
close $left;
my @told = map { [split /\n/, rest_of($_)->{body}] } @both;
is(decode_json($_->[-1])->{status}, 'success', 'a pull') for @told;
my @layer = grep { ($_->{digest} // '') eq digest('model.safetensors') } map { decode_json($_) } @{ $told[0] };
is($layer[-1]{total}, length $data{'model.safetensors'}, 'how much there is');
ok((grep { $_->{status} eq 'verifying sha256 digest' } map { decode_json($_) } @{ $told[0] }), 'it is verified');
is(text('org/small'), $want, 'what came answers');
my @log = split /\n/, slurp("$d/hub.log");
is(scalar(grep { m{/config.json} } @log), 1, 'three asked, one fetched');
is(scalar(grep { m{/model.safetensors bytes=\d{3,}-} } @log), 1, 'what broke off went on');
is(scalar(grep { /README|pytorch/ } @log), 0, 'nothing but what is needed');
is(join(' ', files_of("$d/data/clm/models/org/small")), join(' ', grep { !/README/ } @files), 'the files');
my $two = json($sock, 'POST', '/api/pull', { model => 'org/two', stream => JSON::PP::false });
is($two->{error}, 'org/two: several models; name one: org/two/a.gguf org/two/b.gguf', 'candidates');
is(json($sock, 'POST', '/api/pull', { model => $_->[0], stream => JSON::PP::false })->{error}, $_->[1], $_->[0])
	for ['org/none', 'org/none: it has no model that can be read'],
	['org/gone', 'org/gone: the hub has no such repository'],
	['org/small/x.gguf', 'org/small: it has no file x.gguf'],
	['org', 'expected ORG/REPO[@REV][/FILE], found "org"'],
	['../x', 'expected ORG/REPO[@REV][/FILE], found "../x"'];
like(json($sock, 'POST', '/api/pull', { model => 'org/liar', stream => JSON::PP::false })->{error},
	qr/^org\/liar: \S+: expected the digest 0{40}, found [0-9a-f]{40}$/, 'a digest that differs');
is(names(), 'org/small', 'only what came is served');
down($s, 'a server that pulls');
kill TERM => $player;
waitpid $player, 0;

done_testing();
