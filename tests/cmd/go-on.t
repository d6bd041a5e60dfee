#!/usr/bin/perl
# go-on.t - every family's memory in a file: a new process goes on with the
# tokens that one process alone would have made.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use JSON::PP;
use Test::More;

my $d = new_dir();

for my $path (sort glob 'tests/data/golden/*/golden.json') {
	my ($family) = $path =~ m{golden/(\w+)/golden};
	my $g = decode_json(slurp($path));
	my $ids = join ' ', ref $g->{ids}[0] ? @{ $g->{ids}[0] } : @{ $g->{ids} };
	my @infer = ('clm-infer', '-m', golden($family), '--device', 'cpu', '--ids', '--ignore-eos');

	next if $family eq 'bert' || $family eq 'adapters';
	my $whole = run({ in => "$ids\n" }, @infer, '-n', 12);
	is($whole->{rc}, 0, "$family: in one go") or diag $whole->{err};
	my $first = run({ in => "$ids\n" }, @infer, '-n', 5, '--save-cache', "$d/$family.safetensors");
	is($first->{rc}, 0, "$family: kept") or diag $first->{err};
	my $rest = run({ in => "\n" }, @infer, '-n', 7, '--load-cache', "$d/$family.safetensors");
	is("$first->{out}$rest->{out}" =~ s/\n(?=.)/ /r, $whole->{out}, "$family: gone on with") or diag $rest->{err};
}
done_testing();
