# Run.pm - commands in pipes, for the .t files beside it. Programs are found
# in the path, which make sets to its build directory.
package Run;
use strict;
use warnings;
use Exporter 'import';
use Fcntl;
use File::Temp qw(tempdir tempfile);
use JSON::PP;
use POSIX ();

our @EXPORT = qw(run start finish sh slurp spit demo golden new_dir refused misused files_of);
our @EXPORT_OK = qw(tensors save_tensors);

my $root = tempdir(CLEANUP => 1);
my $n = 0;

# models/demo, and a tiny model with known weights and no tokenizer.
sub demo { 'models/demo' }
sub golden { "tests/data/golden/$_[0]" }
sub new_dir { my $d = "$root/d" . $n++; mkdir $d or die "$d: $!"; $d }

sub slurp
{
	my ($path) = @_;

	open my $f, '<:raw', $path or die "$path: $!";
	local $/;
	my $text = <$f>;
	return $text // '';
}

sub spit
{
	my ($path, $text) = @_;

	open my $f, '>:raw', $path or die "$path: $!";
	print $f $text;
	close $f or die "$path: $!";
	return $path;
}

# Names of all that a directory holds, hidden ones too.
sub files_of
{
	opendir my $d, $_[0] or die "$_[0]: $!";
	return sort grep { !/^\.\.?$/ } readdir $d;
}

# { name => [dtype, [shape], bytes] } of a safetensors file, and back.
sub tensors
{
	my $all = slurp($_[0]);
	my $size = unpack 'Q<', $all;
	my $head = decode_json(substr $all, 8, $size);
	delete $head->{__metadata__};
	return map {
		my ($from, $to) = @{ $head->{$_}{data_offsets} };
		$_ => [$head->{$_}{dtype}, $head->{$_}{shape}, substr $all, 8 + $size + $from, $to - $from]
	} keys %$head;
}

sub save_tensors
{
	my ($path, %t) = @_;
	my ($data, %head) = ('');

	for (sort keys %t) {
		my ($dtype, $shape, $bytes) = @{ $t{$_} };
		$head{$_} = { dtype => $dtype, shape => $shape,
			data_offsets => [length $data, length($data) + length $bytes] };
		$data .= $bytes;
	}
	my $text = JSON::PP->new->canonical->encode(\%head);
	$text .= ' ' x (-length($text) % 8);
	spit($path, pack('Q<', length $text) . $text . $data);
}

# start({ in => TEXT, out => PATH, env => {...}, tty => 0 }, COMMAND...)
sub start
{
	my $o = ref $_[0] ? shift : {};
	my @cmd = @_;
	my %r = (out_path => $o->{out} // "$root/out" . $n, err_path => "$root/err" . $n);
	my $in = $o->{in_path} // spit("$root/in" . $n, $o->{in} // '');

	$n++;
	$r{pid} = fork // die "fork: $!";
	if (!$r{pid}) {
		open STDIN, '<', $in or POSIX::_exit(126);
		open STDOUT, '>', $r{out_path} or POSIX::_exit(126);
		open STDERR, '>', $r{err_path} or POSIX::_exit(126);
		delete @ENV{grep { /^CLM_/ } keys %ENV};
		$ENV{$_} = $o->{env}{$_} for keys %{ $o->{env} // {} };
		exec { $cmd[0] } @cmd or POSIX::_exit(127);
	}
	return \%r;
}

sub finish
{
	my ($r) = @_;

	waitpid $r->{pid}, 0;
	$r->{signal} = $? & 127;
	$r->{rc} = $? >> 8;
	$r->{out} = -f $r->{out_path} ? slurp($r->{out_path}) : '';
	$r->{err} = slurp($r->{err_path});
	return $r;
}

# Runs a command to its end: { rc, signal, out, err }.
sub run { return finish(start(@_)) }

# The same for a line of shell.
sub sh
{
	my $o = ref $_[0] ? shift : {};

	return run($o, 'bash', '-c', $_[0]);
}

# One line that begins with the command's name, the exit code, no output.
sub told
{
	my ($rc, $want, $name, @cmd) = @_;
	my $o = ref $cmd[0] ? shift @cmd : {};
	my $r = run($o, @cmd);
	my $T = Test::More->builder;

	$T->ok($r->{rc} == $rc && $r->{out} eq '' && $r->{err} =~ /^\Q$cmd[0]\E: [^\n]+\n\z/ &&
	       scalar($r->{err} =~ $want), $name) or
		$T->diag("rc $r->{rc}, signal $r->{signal}, stdout \"$r->{out}\", stderr \"$r->{err}\"");
	return $r;
}

sub refused { return told(3, @_) }   # WANT, NAME, COMMAND...
sub misused { return told(2, @_) }

1;
