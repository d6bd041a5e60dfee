#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# stories.t - one trained model in every container: the recorded greedy ids
# of an independent implementation, token for token, and its perplexity
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use JSON::PP;

my $build  = $ENV{BUILD}  || 'build';
my $shared = $ENV{SHARED} || '../shared';
my $models = "$shared/data/models";
plan skip_all => "no $models" unless -d $models;

my $tmp = tempdir(CLEANUP => 1);

sub slurp {
	open my $f, '<', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f>;
}

sub greedy_ok {
	my ($name, $path, $reference, @options) = @_;

	for my $p (@{ $reference->{prompts} }) {
		my $ids = join ' ', @{ $p->{prompt_ids} };
		my $n   = @{ $p->{greedy_ids} };
		my $got = `echo $ids | $build/clm-infer -m $path --ids -n $n --ignore-eos @options`;

		is($got, join(' ', @{ $p->{greedy_ids} }) . "\n", "$name @options: $ids");
	}
}

my $plain = decode_json(slurp("$models/stories260K/stories260K.reference.json"));
my $q80   = decode_json(slurp("$models/stories260K/stories260K_q80.reference.json"));

is(system("$build/clm-convert $models/derived/stories260K-hf-f32 -o $tmp/s.npz"), 0, 'written as NPZ');
is(system("$build/clm-convert $tmp/s.npz -o $tmp/s.gguf"), 0, 'and that as GGUF');

my %same = (
	'llama2.c v0' => "$models/stories260K/stories260K.bin",
	'llama2.c v1' => "$models/stories260K/stories260K_v1.bin",
	'HF'          => "$models/derived/stories260K-hf-f32",
	'GGUF f16'    => "$models/derived/stories260K-f16.gguf",
	'our NPZ'     => "$tmp/s.npz",
	'our GGUF'    => "$tmp/s.gguf",
);
greedy_ok($_, $same{$_}, $plain, '--device', 'cpu') for sort keys %same;
greedy_ok('llama2.c v0', $same{'llama2.c v0'}, $plain, '--device', 'ref');
greedy_ok('llama2.c v2', "$models/stories260K/stories260K_q80.bin", $q80, '--device', 'cpu', '--exact');

my $whole = decode_json(slurp("$models/stories260K/upstream_greedy_200.json"));
my $text  = `printf '' | $build/clm-tokenize -m $same{'llama2.c v0'} | $build/clm-infer -m $same{'llama2.c v0'} --ids -n 200 | $build/clm-tokenize -m $same{'llama2.c v0'} -d`;

is($text =~ s/\s+$//r, $whole->{text} =~ s/\s+$//r, 'the whole story, from text to text');

my $want = decode_json(slurp("$models/derived/perplexity.json"));

open my $f, '<:raw', "$shared/data/text/en_botchan.txt" or die;
read $f, my $head, 20000;
open my $o, '>:raw', "$tmp/head.txt" or die;
print $o $head;
close $o;
for my $exact ('', '--exact') {
	my $out = `$build/clm-score -m $same{'llama2.c v0'} --raw --window $want->{n_ctx} --first 65 --bos-each --whole-only --device cpu $exact $tmp/head.txt`;
	my ($tokens, $scored, $nll, $ppl) = split /\t/, (split /\n/, $out)[-1];

	is($scored, $want->{scored_tokens}, "$scored tokens scored $exact");
	is(sprintf('%.4g', $ppl), sprintf('%.4g', $want->{ppl_numpy_float64}), "perplexity $ppl $exact");
	ok(!$exact || abs($ppl - $want->{ppl_numpy_float64}) < 1e-4, 'all digits with --exact');
}
done_testing();
