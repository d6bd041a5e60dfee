#!/usr/bin/perl
# layouts.t - mixtures in the layouts of their publishers and of MLX: one
# model, whichever way its tensors are cut; fp8 with scales for tiles; what
# does not fit is refused.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run qw(:DEFAULT save_tensors);
use Test::More;

my $json = JSON::PP->new->canonical;

sub tensors { return Run::tensors("$_[0]/model.safetensors") }
sub model
{
	my ($config, %t) = @_;
	my $dir = new_dir();

	save_tensors("$dir/model.safetensors", %t);
	spit("$dir/config.json", $json->encode($config));
	return $dir;
}

sub config { $json->decode(slurp(golden($_[0]) . '/config.json')) }
my %ids;
sub score
{
	my ($family, $dir) = @_;
	my $ids = $ids{$family} //= join ' ', @{ $json->decode(slurp(golden($family) . '/golden.json'))->{ids} };
	my $r = run({ in => "$ids\n" }, 'clm-score', '-m', $dir, '--device', 'cpu', '--exact', '--ids',
		'--tokens');
	return $r->{rc} ? $r->{err} : $r->{out};
}

# Rows of $n bytes: those at $first, $first + $step, ...
sub every
{
	my ($bytes, $n, $first, $step) = @_;
	my @row = unpack "(a$n)*", $bytes;

	return join '', @row[map { $first + $_ * $step } 0 .. @row / $step - 1];
}

# [$m][$rows][$cols] of elements of $size bytes to [$m][$cols][$rows]
sub turned
{
	my ($bytes, $rows, $cols, $size) = @_;
	my $out = '';

	for my $matrix (unpack '(a' . $rows * $cols * $size . ')*', $bytes) {
		my @e = unpack "(a$size)*", $matrix;
		for my $c (0 .. $cols - 1) {
			$out .= join '', @e[map { $_ * $cols + $c } 0 .. $rows - 1];
		}
	}
	return $out;
}

# ---- deepseek_v3: experts each alone or stacked, kv_b_proj whole or in two
my %t = tensors(golden('deepseek_v3'));
my $c = config('deepseek_v3');
my ($heads, $nope, $v, $rank) = @$c{qw(num_attention_heads qk_nope_head_dim v_head_dim kv_lora_rank)};
my %mlx;
for my $name (keys %t) {
	my ($dtype, $shape, $bytes) = @{ $t{$name} };
	if ($name =~ /(.*)kv_b_proj\.weight$/) {
		my @head = unpack '(a' . ($nope + $v) * $rank * 2 . ')*', $bytes;
		$mlx{"$1embed_q.weight"} = [$dtype, [$heads, $rank, $nope],
			turned(join('', map { substr $_, 0, $nope * $rank * 2 } @head), $nope, $rank, 2)];
		$mlx{"$1unembed_out.weight"} = [$dtype, [$heads, $v, $rank],
			join '', map { substr $_, $nope * $rank * 2 } @head];
	} elsif ($name =~ /(.*)experts\.0\.(.*)/) {
		$mlx{"$1switch_mlp.$2"} = [$dtype, [$c->{n_routed_experts}, @$shape],
			join '', map { $t{"$1experts.$_.$2"}[2] } 0 .. $c->{n_routed_experts} - 1];
	} elsif ($name !~ /\.experts\.\d/) {
		$mlx{$name} = $t{$name};
	}
}
my $want = score('deepseek_v3', golden('deepseek_v3'));
like($want, qr/^\S+\t.*\n(?:.*\n){40}/, 'deepseek_v3: as published');
is(score('deepseek_v3', model($c, %mlx)), $want, 'deepseek_v3: as MLX has it');
is(score('deepseek_v3', model({ %$c, model_type => 'kimi_k2' }, %t)), $want, 'kimi_k2 is the same');
{
	my ($name) = grep { /1\..*unembed_out/ } keys %mlx;
	local $mlx{$name} = ['BF16', [$heads, $rank, $v - 1], substr $mlx{$name}[2], 0, $heads * $rank * ($v - 1) * 2];
	refused(qr/layers\.1\.self_attn\.unembed_out\.weight: expected \[128,32\], found \[4,32,31\]/,
		'a stack of another shape', 'clm-infer', '-m', model($c, %mlx), '--ids', '-p', '1');
	delete local $t{'model.layers.1.mlp.experts.3.up_proj.weight'};
	refused(qr/layers\.1\.mlp\.experts\.3\.up_proj\.weight: missing/, 'an expert is missing',
		'clm-infer', '-m', model($c, %t), '--ids', '-p', '1');
}
refused(qr/topk_method: expected noaux_tc, found greedy/, 'another way to choose', 'clm-infer', '-m',
	model({ %$c, topk_method => 'greedy' }, %t), '--ids', '-p', '1');
refused(qr/qk_rope_head_dim.*found 32, 15 and 32/, 'a part that has no pairs', 'clm-infer', '-m',
	model({ %$c, qk_rope_head_dim => 15 }, %t), '--ids', '-p', '1');

# ---- its experts as published: fp8 with a scale for each tile, 4-bit numbers as compressed-tensors packs them
sub noise { join '', map { chr($_[1] + int rand $_[2]) } 1 .. $_[0] }
{
	my (%fp8, %plain, %packed, %codes);
	srand 3;
	for my $name (keys %t) {
		my ($dtype, $shape, $bytes) = @{ $t{$name} };
		(my $path = $name) =~ s/\.weight$//;
		if ($name !~ /\.experts\.\d/) {
			$fp8{$name} = $plain{$name} = $packed{$name} = $codes{$name} = $t{$name};
			next;
		}
		my ($rows, $cols) = @$shape;
		# normal numbers of either sign, which bf16 holds times an eighth
		my @b = map { (rand() < .5 ? 128 : 0) + 40 + int rand 24 } 1 .. $rows * $cols;
		$fp8{$name} = ['F8_E4M3', $shape, pack 'C*', @b];
		$fp8{"${name}_scale_inv"} = ['F32', [1, 1], pack 'f<', 0.125];
		$plain{$name} = ['BF16', $shape, pack 'S<*',
			map { ($_ & 128) << 8 | (($_ >> 3 & 15) - 7 + 127 - 3) << 7 | ($_ & 7) << 4 } @b];
		my ($groups, $q) = ($cols / 16, noise($rows * $cols / 2, 0, 256));
		my @s = map { 0x3c00 + int rand 256 } 1 .. $rows * $groups; # about 2^-7
		my $s = ['BF16', [$rows, $groups], pack 'S<*', @s];
		$packed{"${path}.weight_packed"} = ['I32', [$rows, $cols / 8], $q];
		$packed{"${path}.weight_scale"} = $s;
		$packed{"${path}.weight_shape"} = ['I64', [2], pack 'Q<2', $rows, $cols];
		$codes{$name} = ['U32', [$rows, $cols / 8], $q];
		$codes{"$path.scales"} = $s;
		$codes{"$path.biases"} = ['BF16', [$rows, $groups], pack 'S<*', map { ($_ | 0x8000) + (3 << 7) } @s];
	}
	my $how = { %$c, quantization_config => { quant_method => 'compressed-tensors', format => 'pack-quantized' } };
	my $want = score('deepseek_v3', model($c, %plain));
	like($want, qr/^\S+\t.*\n(?:.*\n){40}/, 'deepseek_v3: other experts');
	is(score('deepseek_v3', model({ %$c, quantization_config => { quant_method => 'fp8' } }, %fp8)), $want, 'and in fp8');
	$want = score('deepseek_v3', model({ %$c, quantization => { bits => 4, group_size => 16 } }, %codes));
	like($want, qr/^\S+\t.*\n(?:.*\n){40}/, 'experts in codes');
	is(score('deepseek_v3', model($how, %packed)), $want, 'and as compressed-tensors packs them');
	refused(qr/weight_packed: the packed numbers of compressed-tensors are not written to a GGUF here/, 'not into a GGUF',
		'clm-convert', model($how, %packed), '-o', new_dir() . '/no.gguf');
	my ($shape) = grep { /1.*experts\.2\.up_proj\.weight_shape/ } keys %packed;
	local $packed{$shape} = ['I64', [2], pack 'Q<2', 7, 9];
	refused(qr/experts\.2\.up_proj\.weight_shape: expected 48 and 64, found 7 and 9/, 'another shape', 'clm-infer', '-m',
		model($how, %packed), '--ids', '-p', '1');
	(my $scale = $shape) =~ s/shape/scale/;
	delete local $packed{$scale};
	refused(qr/experts\.2\.up_proj\.weight_scale: missing/, 'without scales', 'clm-infer', '-m', model($how, %packed),
		'--ids', '-p', '1');
	(my $words = $shape) =~ s/shape/packed/;
	delete local $packed{$words};
	refused(qr/experts\.2\.up_proj\.weight: missing/, 'without words', 'clm-infer', '-m', model($how, %packed), '--ids', '-p', '1');
}

# ---- gpt_oss: gate and up in turns, floats turned, or mxfp4 blocks
%t = tensors(golden('gpt_oss'));
$c = config('gpt_oss');
my ($n, $d, $f) = @$c{qw(num_local_experts hidden_size intermediate_size)};
my (%floats, %blocks, %codes);
srand 7;
for my $name (keys %t) {
	my ($dtype, $shape, $bytes) = @{ $t{$name} };
	if ($name !~ /(.*experts\.)(gate_up_proj|down_proj)(_bias)?$/) {
		$floats{$name} = $blocks{$name} = $codes{$name} = $t{$name};
		next;
	}
	my ($path, $what, $bias) = ($1, $2, $3);
	my @part = $what eq 'down_proj' ? (['down_proj', 0]) : (['gate_proj', 0], ['up_proj', 1]);
	my ($rows, $in) = $what eq 'down_proj' ? ($d, $f) : (2 * $f, $d);
	my $groups = $in / 32;
	my ($q, $s) = (noise($n * $rows * $in / 2, 0, 256), noise($n * $rows * $groups, 118, 5));
	my $whole = $bias ? '' : turned($bytes, $in, $rows, 2);

	$blocks{$name} = $t{$name} if $bias;
	$blocks{"${name}_blocks"} = ['U8', [$n, $rows, $groups, 16], $q] if !$bias;
	$blocks{"${name}_scales"} = ['U8', [$n, $rows, $groups], $s] if !$bias;
	for (@part) {
		my ($to, $first, $some) = ("$path$_->[0]", $_->[1], $rows / @part);
		if ($bias) {
			$floats{"$to.bias"} = $codes{"$to.bias"} = ['BF16', [$n, $some], every($bytes, 2, $first, scalar @part)];
			next;
		}
		$floats{"$to.weight"} = ['BF16', [$n, $some, $in], every($whole, $in * 2, $first, scalar @part)];
		$codes{"$to.weight"} = ['U32', [$n, $some, $in / 8], every($q, $in / 2, $first, scalar @part)];
		$codes{"$to.scales"} = ['U8', [$n, $some, $groups], every($s, $groups, $first, scalar @part)];
	}
}
$want = score('gpt_oss', golden('gpt_oss'));
like($want, qr/^\S+\t.*\n(?:.*\n){40}/, 'gpt_oss: floats as published');
is(score('gpt_oss', model($c, %floats)), $want, 'gpt_oss: floats as MLX has them');
my $quantized = { %$c, quantization_config => { quant_method => 'mxfp4' } };
$want = score('gpt_oss', model($quantized, %blocks));
like($want, qr/^\S+\t.*\n(?:.*\n){40}/, 'gpt_oss: mxfp4 as published');
is(score('gpt_oss', model({ %$c, quantization => { mode => 'mxfp4', bits => 4, group_size => 32 } }, %codes)),
	$want, 'gpt_oss: mxfp4 as MLX has it');
my $to = new_dir();
my $published = model($quantized, %blocks);
is(run('clm-convert', $published, '-o', "$to/mlx")->{rc}, 0, 'gpt_oss: published blocks to MLX');
my %there = tensors("$to/mlx");
is_deeply({ map { $_ => $there{$_}[2] } grep { /experts/ } keys %there },
	{ map { $_ => $codes{$_}[2] } grep { /experts/ } keys %codes }, 'the codes are the same, in parts');
is(score('gpt_oss', "$to/mlx"), $want, 'and so are the numbers');
is(run('clm-quantize', '-q', '-t', '4:32', $published, '-o', "$to/affine")->{rc}, 0,
	'gpt_oss: published blocks to affine codes');
like(score('gpt_oss', "$to/affine"), qr/^\S+\t.*\n(?:.*\n){40}/, 'which run');
{
	my $scales = 'model.layers.1.mlp.experts.gate_up_proj_scales';
	local $blocks{$scales} = ['U8', [$n, $f, 4], $blocks{$scales}[2]];
	refused(qr/layers\.1\.mlp\.experts\.gate_up_proj_scales: expected \[8,128,2\] u8, found \[8,64,4\]/,
		'scales of another shape', 'clm-infer', '-m', model($quantized, %blocks), '--ids', '-p', '1');
	delete local $t{'model.layers.2.mlp.experts.down_proj_bias'};
	refused(qr/layers\.2\.mlp\.experts\.down_proj_bias: missing/, 'a bias is missing', 'clm-infer', '-m',
		model($c, %t), '--ids', '-p', '1');
}
refused(qr/swiglu_limit: expected 7, found 8/, 'other clips', 'clm-infer', '-m',
	model({ %$c, swiglu_limit => 8 }, %t), '--ids', '-p', '1');

# ---- fp8 with a scale for each 128 by 128 weights, whole tiles or not

# An E4M3 as a number; 7f and ff, which are none, do not occur.
sub e4m3
{
	my ($e, $m) = ($_[0] >> 3 & 15, $_[0] & 7);
	return ($_[0] & 128 ? -1 : 1) * ($e ? (8 + $m) * 2 ** ($e - 10) : $m * 2 ** -9);
}
my @e4m3 = map { e4m3($_) } 0 .. 255;

# ([$rows, $in], fp8), its scales, and what both say in f32.
sub tiled
{
	my ($rows, $in) = @_;
	my ($down, $across) = map { int(($_ + 127) / 128) } $rows, $in;
	my @scale = map { 2 ** -9 * (1 + int rand 4) } 1 .. $down * $across;
	my @byte = map { 128 * int(rand 2) + 1 + int rand 95 } 1 .. $rows * $in;
	my @f = map { $e4m3[$byte[$_]] * $scale[int($_ / $in / 128) * $across + int($_ % $in / 128)] }
		0 .. $#byte;
	return (['F8_E4M3', [$rows, $in], pack 'C*', @byte], ['F32', [$down, $across], pack 'f<*', @scale],
		['F32', [$rows, $in], pack 'f<*', @f]);
}

sub rest { my $r = run(@_); return $r->{rc} . $r->{err} }
sub in_tiles
{
	my ($family, $pattern, $over, %shape) = @_;
	my (%tiles, %plain);
	my %have = tensors(golden($family));
	my %cfg = (%{ config($family) }, %$over);

	for my $name (keys %have) {
		my ($dtype, $shape, $bytes) = @{ $have{$name} };
		my ($kind) = grep { $name =~ /$_/ } keys %shape;
		my @to = $kind ? @{ $shape{$kind} } : @$shape;

		if ($name =~ $pattern) {
			(@tiles{$name, "${name}_scale_inv"}, $plain{$name}) = tiled(@to);
		} else {
			my $n = 1;
			$n *= $_ for @to;
			$tiles{$name} = $plain{$name} = $kind ? ['F32', \@to, pack 'f<*', map { rand 1 } 1 .. $n] :
				$have{$name};
		}
	}
	my $fp8 = model({ %cfg, quantization_config => { quant_method => 'fp8', weight_block_size => [128, 128] } },
		%tiles);
	my $f32 = model(\%cfg, %plain);
	my ($want, $out) = (score($family, $f32), new_dir());
	like($want, qr/^\S+\t.*\n(?:.*\n){40}/, "$family: the numbers of fp8 tiles");
	is(score($family, $fp8), $want, "$family: fp8 tiles");
	for my $to ('f32', '-t 8:32') {
		my @how = $to eq 'f32' ? ('clm-convert', '--dtype', 'f32') : ('clm-quantize', qw(-q --dtype f32), split / /, $to);
		my @made = map { "$out/" . tr/a-z0-9//cdr } "a$to", "b$to";

		is(rest(@how, $fp8, '-o', $made[0]), '0', "$family: fp8 tiles, $to");
		is(rest(@how, $f32, '-o', $made[1]), '0', "$family: f32, $to");
		is_deeply({ tensors($made[0]) }, { tensors($made[1]) }, 'the same weights');
	}
	my ($name) = grep { /_scale_inv/ } sort keys %tiles;
	local $tiles{$name} = ['F32', [1, 9], pack 'f<9', (1) x 9];
	refused(qr/\Q$name\E: expected \[\d,\d\] scales/, 'other tiles', 'clm-infer', '-m', model(\%cfg, %tiles),
		'--ids', '-p', '1');
}

my $vocab = config('llama')->{vocab_size};
in_tiles('llama', qr/_proj/, { hidden_size => 160, intermediate_size => 288, num_attention_heads => 5,
		num_key_value_heads => 5, head_dim => 32 },
	'embed_tokens|lm_head' => [$vocab, 160], 'norm' => [160], '(q|k|v|o)_proj' => [160, 160],
	'(gate|up)_proj' => [288, 160], 'down_proj' => [160, 288]);
in_tiles('deepseek_v3', qr/mlp\.experts.*_proj/, {});
done_testing;
