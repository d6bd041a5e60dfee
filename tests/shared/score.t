#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# score.t - log-probabilities against the log-softmax of reference logits, for
# every family that has them; many records against each alone
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use JSON::PP;

my $build  = $ENV{BUILD}  || 'build';
my $shared = $ENV{SHARED} || '../shared';
my $golden = "$shared/data/golden";
plan skip_all => "no $golden" unless -d $golden;

my $tmp = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->canonical;

sub slurp {
	open my $f, '<:raw', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f> // '';
}

sub out {
	my ($in, @cmd) = @_;

	open my $f, '>:raw', "$tmp/in" or die $!;
	print $f $in;
	close $f or die $!;
	return scalar `@cmd < $tmp/in`;
}

# ---- families
my %here = map { (split /\t/)[0] => 1 } split /\n/, `$build/clm-info --families`;

for my $dir (sort glob "$golden/*") {
	my ($family) = $dir =~ m{([^/]+)$};
	next unless -f "$dir/golden.json" && -f "$dir/logits.npy";
	SKIP: {
		skip "$family is not there", 1 unless $here{$family};
		my $ids = decode_json(slurp("$dir/golden.json"))->{ids};
		my $npy = slurp("$dir/logits.npy");
		my $start = 10 + unpack 'v', substr $npy, 8, 2;
		my ($n, $vocab) = substr($npy, 10, $start - 10) =~ /'shape': \((\d+), (\d+)/;
		my ($worst, @rows) = (0, split /\n/, out("@$ids\n", "$build/clm-score", '-m', $dir, '--ids',
			'--tokens', '--exact', '--device', 'cpu', '--no-cache'));

		shift @rows;
		for (@rows) {
			my (undef, $place, $id, $logprob) = split /\t/;
			my @row = unpack 'f<*', substr $npy, $start + ($place - 1) * $vocab * 4, $vocab * 4;
			my ($most) = sort { $b <=> $a } @row;
			my $sum = 0;

			$sum += exp($_ - $most) for @row;
			my $off = abs($row[$id] - $most - log($sum) - $logprob);
			$worst = $off if $off > $worst;
		}
		ok(@rows == $n - 1 && $worst <= 1e-4, "$family: log-softmax of the logits")
			or diag scalar(@rows), " rows, off by $worst";
	}
}

# ---- a thousand records, and each of them alone
my $text = slurp("$shared/data/text/en_botchan.txt") if -f "$shared/data/text/en_botchan.txt";
$text //= slurp('README.md') x 4;
my ($seed, @records) = 1;

for my $i (1 .. 1000) {
	my @at = map { $seed = ($seed * 1103515245 + 12345) % 2**31; $seed >> 8 } 1 .. 3;
	my $piece = substr $text, $at[0] % (length($text) - 400), 20 + $at[1] % 300;
	my $cut = 1 + $at[2] % (length($piece) - 1);

	$piece =~ s/[^\x20-\x7e\n]/ /g;
	push @records, $i % 3 == 0 ? { id => $i, text => $piece }
	             : $i % 3 == 1 ? { id => $i, prompt => $piece, top => $i % 50 + 1 }
	             : { id => $i, prompt => substr($piece, 0, $cut), completion => substr($piece, $cut),
	                 boundary => 'tokens', tokens => JSON::PP::true };
}
my @score = ("$build/clm-score", '-m', 'models/demo', '--device', 'cpu', '--jsonl', '--no-cache');
my @all = split /\n/, out(join('', map { $json->encode($_) . "\n" } @records), @score);
my $same = 0;

for my $i (0 .. $#records) {
	$same += out($json->encode($records[$i]) . "\n", @score) eq ($all[$i] // '') . "\n";
}
is($same, scalar @records, 'records as alone');

done_testing;
