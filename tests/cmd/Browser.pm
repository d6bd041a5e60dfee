# Browser.pm - a Chromium without a window, driven over its debugging pipe:
# messages of JSON, each ended by a NUL.
package Browser;
use strict;
use warnings;
use Fcntl qw(F_DUPFD);
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use POSIX ();

sub program { (grep { -x } map { ("$_/chromium", "$_/chromium-browser") } split /:/, $ENV{PATH})[0] }

sub new
{
	my ($class, $dir) = @_;
	my ($in, $to, $from, $out);

	pipe $in, $to;
	pipe $from, $out;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		my @fd = map { fcntl $_, F_DUPFD, 10 } $in, $out;
		POSIX::dup2($fd[0], 3);
		POSIX::dup2($fd[1], 4);
		open STDERR, '>', "$dir/chromium.log";
		open STDOUT, '>&', \*STDERR;
		no warnings 'exec';
		exec program(), '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
			'--disable-dev-shm-usage', '--remote-debugging-pipe', "--user-data-dir=$dir/profile",
			'--window-size=1100,800', 'about:blank';
		POSIX::_exit(127);
	}
	close $in;
	close $out;
	$to->autoflush(1);
	my $self = bless { pid => $pid, to => $to, from => $from, id => 0, rest => '', events => [] }, $class;
	my ($page) = grep { $_->{type} eq 'page' } @{ $self->call('Target.getTargets')->{targetInfos} };
	$self->{session} = $self->call('Target.attachToTarget',
		{ targetId => $page->{targetId}, flatten => JSON::PP::true })->{sessionId};
	$self->call($_) for qw(Page.enable Runtime.enable Log.enable Network.enable);
	return $self;
}

sub message
{
	my ($self) = @_;

	while ($self->{rest} !~ /\0/) {
		local $SIG{ALRM} = sub { die "chromium says nothing\n" };
		alarm 120;
		my $n = sysread $self->{from}, $self->{rest}, 65536, length $self->{rest};
		alarm 0;
		die "chromium is gone\n" if !$n;
	}
	$self->{rest} =~ s/^([^\0]*)\0//;
	return decode_json($1);
}

# What a method gives back; events that come before it are kept.
sub call
{
	my ($self, $method, $params) = @_;
	my $id = ++$self->{id};

	print { $self->{to} } encode_json({ id => $id, method => $method, params => $params // {},
		$self->{session} ? (sessionId => $self->{session}) : () }), "\0";
	for (;;) {
		my $m = $self->message;

		push @{ $self->{events} }, $m if $m->{method};
		next if ($m->{id} // 0) != $id;
		die "$method: $m->{error}{message}\n" if $m->{error};
		return $m->{result};
	}
}

# The value of an expression of the page's; promises are waited for.
sub js
{
	my ($self, $text) = @_;
	my $r = $self->call('Runtime.evaluate', { expression => $text, awaitPromise => JSON::PP::true,
		returnByValue => JSON::PP::true });

	die "$text: " . ($r->{exceptionDetails}{exception}{description} // '?') if $r->{exceptionDetails};
	return $r->{result}{value};
}

# Waits until an expression is true.
sub until_true
{
	my ($self, $text) = @_;

	for (1 .. 1200) {
		return 1 if $self->js("!!($text)");
		select undef, undef, undef, 0.05;
	}
	return 0;
}

sub go
{
	my ($self, $url) = @_;

	$self->call('Page.navigate', { url => $url });
	return $self->until_true("document.readyState === 'complete' && location.href !== 'about:blank'");
}

# A key as a person presses it: "Enter", "a"; modifiers: 1 alt, 2 ctrl, 8 shift.
sub press
{
	my ($self, $key, $modifiers) = @_;
	my %code = (Enter => 13, Escape => 27, ArrowRight => 39, ArrowLeft => 37, Tab => 9);
	my %k = (key => $key, modifiers => $modifiers // 0,
		windowsVirtualKeyCode => $code{$key} // ord uc $key);

	$self->call('Input.dispatchKeyEvent', { %k, type => 'keyDown',
		$key eq 'Enter' ? (text => "\r") : () });
	$self->call('Input.dispatchKeyEvent', { %k, type => 'keyUp' });
}

sub type { $_[0]->call('Input.insertText', { text => $_[1] }) }

sub picture
{
	my ($self, $path) = @_;

	open my $f, '>:raw', $path or die "$path: $!";
	print $f decode_base64($self->call('Page.captureScreenshot')->{data});
	close $f;
}

# What the console told: errors of scripts, of the network, of the policy.
sub complaints
{
	my ($self) = @_;

	$self->js('1');
	return map {
		my $p = $_->{params};
		$_->{method} eq 'Runtime.exceptionThrown' ? $p->{exceptionDetails}{exception}{description} // '?' :
		$_->{method} eq 'Log.entryAdded' && $p->{entry}{level} eq 'error' ?
			"$p->{entry}{text} " . ($p->{entry}{url} // '') : ();
	} @{ $self->{events} };
}

sub close
{
	my ($self) = @_;

	eval { delete $self->{session}; $self->call('Browser.close') };
	waitpid $self->{pid}, 0;
}

1;
