#!/usr/bin/perl
# stacks.t - mixtures in each container: stacked and one by one, to the bit,
# and the same logits; short convolutions too.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();

sub logits
{
	my ($model, $ids) = @_;

	return run({ in => "$ids\n" }, 'clm-score', '-q', '--device', 'ref', '--exact', '--ids', '--tokens', '-m', $model)->{out};
}

for my $f (qw(qwen3_moe mixtral)) {
	my $ids = join ' ', @{ JSON::PP->new->decode(slurp(golden($f) . '/golden.json'))->{ids} }[0 .. 19];
	my $want = logits(golden($f), $ids);

	like($want, qr/^1\t19\t\d+\t-/m, "$f: it is scored");
	for my $to ([golden($f), "$f-mlx"], [golden($f), "$f-own", '--format', 'hf'], ["$d/$f-mlx", "$f-hf", '--format', 'hf'],
	            ["$d/$f-hf", "$f-again"], [golden($f), "$f.gguf"], ["$d/$f.gguf", "$f-back"], ["$d/$f-mlx", "$f-2.gguf"]) {
		my ($from, $name, @how) = @$to;
		my $r = run('clm-convert', '--quiet', $from, '-o', "$d/$name", @how);
		is("$r->{rc}$r->{err}", '0', "$name: written");
		is(logits("$d/$name", $ids), $want, "$name: the same logits");
	}
	my $m = '/model.safetensors';
	is(slurp("$d/$f-hf$m"), slurp("$d/$f-own$m"), "$f: out of stacks: the same bytes");
	is(slurp("$d/$f-again$m"), slurp("$d/$f-mlx$m"), "$f: and into them");
	is(slurp("$d/$f-2.gguf"), slurp("$d/$f.gguf"), "$f: a GGUF of either is the same");
	like(run('clm-info', '-t', "$d/$f-mlx")->{out}, qr/\.switch_mlp\.down_proj\.weight\tbf16\t\[\d+,\d+,48\]/, "$f: MLX has stacks");
	like(run('clm-info', '-t', "$d/$f-hf")->{out}, qr/\.experts\.3\./, "$f: Hugging Face has each alone");
}

# ---- short convolutions: a channel's taps lie otherwise in each container
my $ids = join ' ', 1 .. 20;
my $want = logits(golden('lfm2'), $ids);
for my $to ([golden('lfm2'), 'lfm2-mlx'], ["$d/lfm2-mlx", 'lfm2-hf', '--format', 'hf'], ["$d/lfm2-mlx", 'lfm2.gguf'],
            ["$d/lfm2.gguf", 'lfm2-back'], ["$d/lfm2.gguf", 'lfm2-hf2', '--format', 'hf']) {
	my ($from, $name, @how) = @$to;
	my $r = run('clm-convert', '--quiet', $from, '-o', "$d/$name", @how);
	is("$r->{rc}$r->{err}", '0', "$name: written");
	is(logits("$d/$name", $ids), $want, "$name: the same logits");
}

# ---- in codes: quantized as a stack, and back to floats
my $q = run('clm-convert', '--quiet', golden('qwen3_moe'), '--quantize', '8', '-o', "$d/q");
is($q->{rc}, 0, 'quantized');
my $t = run('clm-info', '-t', "$d/q")->{out};
like($t, qr/switch_mlp\.gate_proj\.scales\tbf16\t\[8,48,1\]/, 'scales of a stack');
like($t, qr/mlp\.gate\.weight\tu32\t\[8,16\]/, 'the router has 8 bits');
is(run('clm-convert', '--quiet', golden('qwen3_moe'), '--quantize', '4', '-o', "$d/q4")->{rc}, 0, 'in 4 bits');
like(slurp("$d/q4/config.json"), qr/"model\.layers\.0\.mlp\.gate":\s*\{\s*"bits":\s*8,\s*"group_size":\s*64/, 'but for the router');
is(run('clm-convert', '--quiet', golden('deepseek_v3'), '--quantize', '4', '-o', "$d/ds")->{rc}, 0, 'deepseek_v3 in 4 bits');
like(run('clm-info', '-t', "$d/ds")->{out}, qr/layers\.1\.mlp\.gate\.weight\tbf16/, 'its router stays');
is(run('clm-convert', '--quiet', golden('gpt_oss'), '--quantize', '4', '-o', "$d/go")->{rc}, 0, 'gpt_oss in 4 bits');
$t = run('clm-info', '-t', "$d/go")->{out};
like($t, qr/layers\.1\.mlp\.experts\.up_proj\.weight\tu32\t\[8,64,8\]/, 'experts that lay in turns too');
like($t, qr/layers\.1\.mlp\.router\.weight\tu32\t\[8,16\]/, 'and its router');
is(run({ in => "1 5 9\n" }, 'clm-score', '-q', '--device', 'ref', '--exact', '--ids', '-m', "$d/$_")->{rc}, 0, "$_ is scored")
	for qw(q4 ds go);
is(run('clm-convert', '--quiet', "$d/q", '--dequantize', '--format', 'hf', '-o', "$d/f")->{rc}, 0, 'to floats, each alone');
is(run('clm-convert', '--quiet', "$d/f", '-o', "$d/s")->{rc}, 0, 'in stacks');
is(run('clm-convert', '--quiet', "$d/q", '--dequantize', '-o', "$d/g")->{rc}, 0, 'to floats, in stacks');
is(slurp("$d/s/model.safetensors"), slurp("$d/g/model.safetensors"), 'the same numbers');
done_testing;
