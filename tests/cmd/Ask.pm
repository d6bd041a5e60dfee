# Ask.pm - a running clm-serve, and requests to it over its unix socket.
package Ask;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::UNIX;
use JSON::PP;
use Run;
use Test::More;

our @EXPORT = qw(up down ask json begin rest_of until_true);

# Starts a server that will listen at the path.
sub up
{
	my ($path, @cmd) = @_;
	my $s = start(@cmd, '-l', $path);

	for (1 .. 600) {
		return $s if IO::Socket::UNIX->new(Peer => $path) || waitpid($s->{pid}, 1) > 0;
		select undef, undef, undef, 0.05;
	}
	return $s;
}

sub down
{
	my ($s, $what) = @_;

	kill TERM => $s->{pid};
	my $r = finish($s);
	is($r->{rc}, 0, "$what ends well") or diag $r->{err};
	return $r;
}

# Sends a request; gives the connection.
sub begin
{
	my ($sock, $method, $path, $body, @head) = @_;
	my $text = ref $body ? encode_json($body) : $body // '';
	my $c = IO::Socket::UNIX->new(Peer => $sock) or return;

	print $c join("\r\n", "$method $path HTTP/1.1", (grep({ /^Host/i } @head) ? () : 'Host: localhost'),
		'Connection: close', 'Content-Length: ' . length $text, @head, '', $text);
	$c->flush;
	return $c;
}

# The answer, chunks put together.
sub rest_of
{
	my ($c) = @_;
	my ($top, $rest) = split /\r\n\r\n/, $c ? do { local $/; <$c> } // '' : '', 2;

	$rest //= '';
	if (($top // '') =~ /chunked/i) {
		my $whole = '';
		while ($rest =~ s/^([0-9a-fA-F]+)\r\n// && hex $1) {
			$whole .= substr $rest, 0, hex($1) + 2, '';
			$whole =~ s/\r\n\z//;
		}
		$rest = $whole;
	}
	return { status => ($top // '') =~ /^HTTP\/1.1 (\d+)/ ? $1 : 0, head => $top // '', body => $rest,
		json => scalar eval { decode_json($rest) } };
}

sub ask { return rest_of(begin(@_)) }
sub json { return ask(@_)->{json} }

# Within ten seconds.
sub until_true
{
	my ($what) = @_;

	for (1 .. 200) {
		return 1 if $what->();
		select undef, undef, undef, 0.05;
	}
	return 0;
}

1;
