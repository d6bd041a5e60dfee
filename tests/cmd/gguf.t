#!/usr/bin/perl
# gguf.t - families whose weights lie otherwise in a GGUF: there and back, to
# the bit in what they compute; old files; what an architecture cannot mean.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $json = JSON::PP->new->canonical;
my %ids;

sub config { $json->decode(slurp("$_[0]/config.json")) }
sub logits
{
	my ($model, $family) = @_;
	my $ids = $ids{$family} //= join ' ', @{ $json->decode(slurp(golden($family) . '/golden.json'))->{ids} }[0 .. 29];
	my $r = run({ in => "$ids\n" }, 'clm-score', '-q', '--device', 'ref', '--exact', '--ids', '--tokens', '-m', $model);
	return $r->{rc} ? $r->{err} : $r->{out};
}
sub convert
{
	my $r = run('clm-convert', '--quiet', @_);
	is("$r->{rc}$r->{err}", '0', "convert @_");
}

# A copy of a golden model with a few words of its config changed.
sub model
{
	my ($family, %change) = @_;
	my $dir = new_dir();
	run('sh', '-c', "cp " . golden($family) . "/* $dir && chmod -R u+w $dir");
	spit("$dir/config.json", $json->encode({ %{ config($dir) }, %change }));
	return $dir;
}

for my $f (qw(deepseek_v3 qwen3_next kimi_linear gpt_oss gemma4_text gemma4_shared gemma4_mixture)) {
	my $want = logits(golden($f), $f);

	like($want, qr/^1\t29\t\d+\t-/m, "$f: it is scored");
	convert(golden($f), '-o', "$d/$f.gguf");
	is(logits("$d/$f.gguf", $f), $want, "$f: the same logits from a GGUF");
	convert("$d/$f.gguf", '-o', "$d/$f-mlx");
	is(logits("$d/$f-mlx", $f), $want, "$f: and out of it");
	convert("$d/$f-mlx", '-o', "$d/$f-2.gguf");
	is(logits("$d/$f-2.gguf", $f), $want, "$f: and into one again");
	if ($f eq 'gpt_oss') {
		refused(qr/gate and up are one tensor.*write an MLX directory/, 'not in turns again', 'clm-convert', "$d/$f.gguf",
			'--format', 'hf', '-o', "$d/no");
		next;
	}
	convert("$d/$f.gguf", '-o', "$d/$f-hf", '--format', 'hf');
	is(logits("$d/$f-hf", $f), $want, "$f: as Hugging Face has it");
	my ($was, $is) = (config(golden($f)), config("$d/$f-hf"));
	my @same = grep { defined $was->{$_} && !ref $was->{$_} && exists $is->{$_} } sort keys %$was;
	is_deeply({ map { $_ => $is->{$_} } @same }, { map { $_ => $was->{$_} } @same }, "$f: the config means the same");
	convert("$d/$f-mlx", '-o', "$d/$f-hf2", '--format', 'hf');
	is(logits("$d/$f-hf2", $f), $want, "$f: as Hugging Face has it, from MLX");
}

# ---- an encoder: vectors
sub vector { run({ in => "1 5 9 42 100 7 8\n" }, 'clm-embed', '-m', $_[0], '--ids', '--no-special', '--device', 'ref', '--exact')->{out} }
my $want = vector(golden('bert'));
like($want, qr/^\{.*0\.\d/, 'bert: a vector');
run('clm-convert', '--quiet', golden('bert'), '-o', "$d/bert.gguf");
is(vector("$d/bert.gguf"), $want, 'bert: the same from a GGUF');
convert("$d/bert.gguf", '-o', "$d/bert");
is(vector("$d/bert"), $want, 'bert: and out of it');

# ---- gpt-oss as published: codes move, none is rounded
sub tensors
{
	my $all = slurp("$_[0]/model.safetensors");
	my $n = unpack 'Q<', $all;
	my $head = $json->decode(substr $all, 8, $n);
	delete $head->{__metadata__};
	return map {
		my ($from, $to) = @{ $head->{$_}{data_offsets} };
		$_ => [$head->{$_}{dtype}, $head->{$_}{shape}, substr $all, 8 + $n + $from, $to - $from]
	} keys %$head;
}
sub safetensors
{
	my ($path, %t) = @_;
	my ($data, %head) = ('');

	for (sort keys %t) {
		$head{$_} = { dtype => $t{$_}[0], shape => $t{$_}[1],
			data_offsets => [length $data, length($data) + length $t{$_}[2]] };
		$data .= $t{$_}[2];
	}
	my $text = $json->encode(\%head);
	$text .= ' ' x (-length($text) % 8);
	spit($path, pack('Q<', length $text) . $text . $data);
}
{
	my %t = tensors(golden('gpt_oss'));
	my $dir = model('gpt_oss', quantization_config => { quant_method => 'mxfp4' });
	srand 7;
	for (grep { /experts\.(gate_up|down)_proj$/ } keys %t) {
		my ($n, $in, $rows) = @{ $t{$_}[1] };
		my $groups = $in / 32;
		$t{"${_}_blocks"} = ['U8', [$n, $rows, $groups, 16], join '', map { chr int rand 256 } 1 .. $n * $rows * $in / 2];
		$t{"${_}_scales"} = ['U8', [$n, $rows, $groups], join '', map { chr(118 + int rand 5) } 1 .. $n * $rows * $groups];
		delete $t{$_};
	}
	safetensors("$dir/model.safetensors", %t);
	my $want = logits($dir, 'gpt_oss');
	like($want, qr/^1\t29\t\d+\t-/m, 'mxfp4: it is scored');
	convert($dir, '-o', "$d/m.gguf");
	is(logits("$d/m.gguf", 'gpt_oss'), $want, 'mxfp4: the same logits from a GGUF');
	like(run('clm-info', '-t', "$d/m.gguf")->{out}, qr/ffn_up_exps\.weight\tmxfp4\t\[8,64,64\]/, 'its codes are kept');
	convert("$d/m.gguf", '-o', "$d/m");
	is(logits("$d/m", 'gpt_oss'), $want, 'mxfp4: and in MLX');
	(my $name) = grep { /1.*gate_up.*scales/ } keys %t;
	$t{$name}[1] = [8, 64, 4];
	$t{$name} = ['U8', [8, 64, 2], substr $t{$name}[2], 0, 8 * 64 * 2];
	safetensors("$dir/model.safetensors", %t);
	refused(qr/layers\.1\.mlp\.experts\.gate_up_proj_blocks: blocks and scales do not fit 8 experts of \[128,64\]/,
		'scales of another shape', 'clm-convert', $dir, '-o', "$d/no.gguf");
}

# ---- a GGUF of before latent attention's matrices were parted: one attn_kv_b, no keys of the heads as they are meant
sub gguf
{
	my ($file) = @_;
	my ($at, %size) = (24, 0 => 1, 1 => 1, 2 => 2, 3 => 2, 4 => 4, 5 => 4, 6 => 4, 7 => 1, 10 => 8, 11 => 8, 12 => 8);
	my ($tensors, $keys) = unpack 'x8Q<Q<', $file;
	my $value;
	$value = sub {
		my ($type) = @_;
		my $from = $at;
		if ($type == 8) { $at += 8 + unpack 'Q<', substr $file, $at, 8 }
		elsif ($type == 9) {
			my ($item, $n) = unpack 'L<Q<', substr $file, $at, 12;
			$at += 12;
			$value->($item) for 1 .. $n;
		} else { $at += $size{$type} }
		return substr $file, $from, $at - $from;
	};
	my $string = sub { substr $value->(8), 8 };
	my (@meta, @t);
	for (1 .. $keys) {
		my $key = $string->();
		my $type = unpack 'L<', substr $file, $at, 4;
		$at += 4;
		push @meta, [$key, $type, $value->($type)];
	}
	for (1 .. $tensors) {
		my $name = $string->();
		my $rank = unpack 'L<', substr $file, $at, 4;
		my @dim = unpack "Q<$rank", substr $file, $at + 4, 8 * $rank;
		my ($type, $offset) = unpack 'L<Q<', substr $file, $at + 4 + 8 * $rank, 12;
		$at += 16 + 8 * $rank;
		push @t, [$name, \@dim, $type, $offset];
	}
	my ($align) = map { unpack 'L<', $_->[2] } grep { $_->[0] eq 'general.alignment' } @meta;
	$at += -$at % ($align // 32);
	for (0 .. $#t) {
		my $end = $_ < $#t ? $t[$_ + 1][3] : length($file) - $at;
		$t[$_][3] = substr $file, $at + $t[$_][3], $end - $t[$_][3];
	}
	return (\@meta, \@t);
}
sub write_gguf
{
	my ($meta, $t) = @_;
	my ($head, $data) = ('GGUF' . pack('L<Q<Q<', 3, scalar @$t, scalar @$meta), '');

	$head .= pack('Q</a*L<', $_->[0], $_->[1]) . $_->[2] for @$meta;
	for (@$t) {
		my ($name, $dim, $type, $bytes) = @$_;
		$data .= "\0" x (-length($data) % 64);
		$head .= pack 'Q</a*L<Q<*', $name, scalar @$dim, @$dim;
		$head .= pack 'L<Q<', $type, length $data;
		$data .= $bytes;
	}
	return $head . "\0" x (-length($head) % 64) . $data;
}
{
	my ($meta, $t) = gguf(slurp("$d/deepseek_v3.gguf"));
	my %hf = tensors(golden('deepseek_v3'));
	my ($c) = config(golden('deepseek_v3'));
	my ($heads, $nope, $rope, $v, $rank) = @$c{qw(num_attention_heads qk_nope_head_dim qk_rope_head_dim v_head_dim kv_lora_rank)};

	my @old = map {
		my ($key, $type, $bytes) = @$_;
		$bytes = pack 'L<', $nope + $rope if $key eq 'deepseek2.attention.key_length';
		$bytes = pack 'L<', $v if $key eq 'deepseek2.attention.value_length';
		$bytes = pack 'L<', $heads if $key eq 'deepseek2.attention.head_count_kv';
		$key =~ /_mla$/ ? () : [$key, $type, $bytes]
	} @$meta;
	my @one = map {
		my ($name, $dim, $type, $bytes) = @$_;
		$name =~ /(\d+)\.attn_k_b/ ?
			["blk.$1.attn_kv_b.weight", [$rank, $heads * ($nope + $v)], $type, $hf{"model.layers.$1.self_attn.kv_b_proj.weight"}[2]] :
			$name =~ /attn_v_b/ ? () : $_
	} @$t;
	spit("$d/old.gguf", write_gguf(\@old, \@one));
	is(logits("$d/old.gguf", 'deepseek_v3'), logits(golden('deepseek_v3'), 'deepseek_v3'), 'an old deepseek2: the same logits');
	for (['expert_gating_func', 'L<', 1, qr/expert_gating_func: expected 2, found 1/],
	     ['attention.kv_lora_rank', 'L<', 1 << 20, qr/kv_lora_rank and q_lora_rank: expected up to 16384, found 1048576/],
	     ['rope.dimension_count', 'L<', 4000, qr/expected up to 512, found 0, 4000 and 32/],
	     ['expert_shared_count', 'L<', 1 << 30, qr/expert_shared_count: expected at most 16777216/],
	     ['rope.scaling.yarn_log_multiplier', 'f<', -1, qr/yarn_log_multiplier: expected 0 to 100, found -1/]) {
		my ($key, $form, $v, $why) = @$_;
		my @bad = map { $_->[0] eq "deepseek2.$key" ? [$_->[0], $_->[1], pack $form, $v] : $_ } @$meta;
		spit("$d/bad.gguf", write_gguf(\@bad, $t));
		refused($why, "refused: $key", 'clm-infer', '-m', "$d/bad.gguf", '--ids', '-p', '1');
	}
}

# ---- what the architectures' readers take for granted
refused(qr/norm_topk_prob: true in a GGUF of qwen3next, found false/, 'weights that are not divided', 'clm-convert',
	model('qwen3_next', norm_topk_prob => JSON::PP::false), '-o', "$d/no.gguf");
refused(qr/linear attention of 2 heads: in a GGUF of kimi-linear as many as of the others, 4/, 'other heads', 'clm-convert',
	model('kimi_linear', linear_num_heads => 2, linear_head_dim => 32), '-o', "$d/no.gguf");
refused(qr/num_kv_shared_layers: in a GGUF of gemma4/, 'shared caches elsewhere', 'clm-convert',
	model('gemma4_shared', num_kv_shared_layers => 3), '-o', "$d/no.gguf");
done_testing;
