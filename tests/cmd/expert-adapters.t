#!/usr/bin/perl
# expert-adapters.t - adapters of experts: the numbers of a model with the
# same added to its weights, in MLX's layout and PEFT's.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run qw(:DEFAULT tensors save_tensors);
use Test::More;

my $json = JSON::PP->new->canonical;
my $base = golden('qwen3_moe');
my $config = $json->decode(slurp("$base/config.json"));
my ($n, $d, $f) = @$config{qw(num_local_experts hidden_size moe_intermediate_size)};
my $ids = join ' ', @{ $json->decode(slurp("$base/golden.json"))->{ids} }[0 .. 15];
my %w = tensors("$base/model.safetensors");
srand 3;

sub floats { return [ unpack 'f<*', pack 'L<*', map { $_ << 16 } unpack 'S<*', $_[0] ] }
sub noise { return [ map { rand(0.2) - 0.1 } 1 .. $_[0] ] }
sub f32 { my ($v, @shape) = @_; return ['F32', \@shape, pack 'f<*', @$v] }

sub scores
{
	my ($model, @how) = @_;
	my $r = run({ in => "$ids\n" }, qw(clm-score -q --exact --ids --tokens -m), $model, @how);

	is($r->{err}, '', "@how");
	return map { (split /\t/)[3] } grep { /^1\t/ } split /\n/, $r->{out};
}

# The model with strength * B A added to its experts; $side{NAME}: [A, B, rank].
sub added
{
	my ($strength, %side) = @_;
	my %to = %w;
	my $dir = new_dir();

	for my $name (keys %side) {
		my ($a, $b, $rank) = @{ $side{$name} };
		my ($rows, $cols) = @{ $w{"$name.weight"}[1] };
		my $v = floats($w{"$name.weight"}[2]);

		for my $o (0 .. $rows - 1) {
			for my $k (0 .. $rank - 1) {
				my $by = $strength * $b->[$o * $rank + $k];
				$v->[$o * $cols + $_] += $by * $a->[$k * $cols + $_] for 0 .. $cols - 1;
			}
		}
		$to{"$name.weight"} = f32($v, $rows, $cols);
	}
	# experts of a stack are of one type
	for my $name (grep { /experts/ && $to{$_}[0] ne 'F32' } keys %to) {
		$to{$name} = f32(floats($to{$name}[2]), @{ $to{$name}[1] });
	}
	save_tensors("$dir/model.safetensors", %to);
	spit("$dir/config.json", $json->encode($config));
	return $dir;
}

sub close_to
{
	my ($have, $want, $what) = @_;
	my $worst = 0;

	for (0 .. $#$want) {
		my $by = abs($have->[$_] - $want->[$_]);
		$worst = $by if $by > $worst;
	}
	ok(@$want == 15 && @$have == @$want && $worst < 1e-4, $what) or diag("$worst, " . @$have . ' ' . @$want);
}

# ---- MLX's layout: stacks
my (%side, %mlx);
for my $at ([1, 'gate_proj', $f, $d, 4], [1, 'up_proj', $f, $d, 3], [2, 'down_proj', $d, $f, 5]) {
	my ($layer, $part, $rows, $cols, $rank) = @$at;
	my (@a, @b);

	for my $e (0 .. $n - 1) {
		my ($a, $b) = (noise($rank * $cols), noise($rows * $rank));
		push @a, @$a;
		push @b, @$b;
		$side{"model.layers.$layer.mlp.experts.$e.$part"} = [$a, $b, $rank];
	}
	my $path = "model.layers.$layer.mlp.switch_mlp.$part";
	$mlx{"$path.lora_a"} = f32(\@a, $n, $rank, $cols);
	$mlx{"$path.lora_b"} = f32(\@b, $n, $rows, $rank);
}
my $mlx = new_dir();
sub settings { return $json->encode({ fine_tune_type => 'lora', num_layers => -1,
	lora_parameters => { rank => 4, scale => $_[0] } }) }
save_tensors("$mlx/adapters.safetensors", %mlx);
spit("$mlx/adapter_config.json", settings(2));
my @plain = scores($base, qw(--device ref));
my @want = scores(added(2, %side), qw(--device ref));
ok(grep({ abs($plain[$_] - $want[$_]) > 0.01 } 0 .. $#want) > 5, 'the adapter does something');
for my $device (qw(ref cpu)) {
	close_to([ scores($base, '--device', $device, '--adapter', $mlx) ], \@want, "stacks on $device");
}
close_to([ scores($base, qw(--device cpu --adapter), "$mlx=0.5") ], [ scores(added(1, %side), qw(--device cpu)) ],
	'at half its strength');
my $out = new_dir();
is(run('clm-quantize', '-q', '-t', '8:32', $base, '-o', "$out/q8")->{rc}, 0, 'a base in codes');
isnt(join(' ', scores("$out/q8", '--device', 'cpu', '--adapter', $mlx)),
	join(' ', scores("$out/q8", '--device', 'cpu')), 'takes it too');

# ---- PEFT's layout: an expert is a module of its own, few have sides
my (%peft, %some);
for my $e (1, 6) {
	for my $at (['gate_proj', $f, $d, 2 + $e], ['down_proj', $d, $f, 4]) {
		my ($part, $rows, $cols, $rank) = @$at;
		my $name = "model.layers.1.mlp.experts.$e.$part";
		my ($a, $b) = @{ $some{$name} = [noise($rank * $cols), noise($rows * $rank), $rank] };

		$peft{"base_model.model.$name.lora_A.weight"} = f32($a, $rank, $cols);
		$peft{"base_model.model.$name.lora_B.weight"} = f32($b, $rows, $rank);
	}
}
my $peft = new_dir();
save_tensors("$peft/adapter_model.safetensors", %peft);
spit("$peft/adapter_config.json", $json->encode({ peft_type => 'LORA', r => 4, lora_alpha => 12,
	rank_pattern => { 'experts.1.gate_proj' => 3, 'experts.6.gate_proj' => 8 },
	alpha_pattern => { 'experts.1.gate_proj' => 9, 'experts.6.gate_proj' => 24 } }));
$ENV{XDG_CACHE_HOME} = "$out/cache";
@want = scores(added(3, %some), qw(--device cpu));
close_to([ scores($base, qw(--device cpu --adapter), $peft) ], \@want, 'experts of their own');
my @both = ('--adapter', $mlx, '--adapter', $peft);
my @sum = scores($base, qw(--device cpu), @both);
ok(@sum == 15 && join(' ', @sum) ne join(' ', @want), 'both at once');

# ---- what does not fit
sub bad
{
	my ($what, $say, %t) = @_;
	my $dir = new_dir();

	save_tensors("$dir/adapters.safetensors", %t);
	spit("$dir/adapter_config.json", settings(1));
	refused($say, $what, qw(clm-score -q --device cpu --ids --tokens -m), $base, '--adapter', $dir, '/dev/null');
}
my $at = 'model.layers.1.mlp.switch_mlp.gate_proj';
bad('too few experts', qr/switch_mlp\.gate_proj: a side of 7 times \[48,64\], the model has 8 of \[48,64\]/,
	"$at.lora_a" => f32(noise(7 * 4 * $d), 7, 4, $d), "$at.lora_b" => f32(noise(7 * $f * 4), 7, $f, 4));
bad('a stack beside none', qr/lora_b: a stack of experts takes lora_a and lora_b of rank 3/,
	"$at.lora_a" => $mlx{"$at.lora_a"}, "$at.lora_b" => f32(noise(4 * $f), 4, $f));
bad('half of a side', qr/gate_proj\.lora_b: missing/, "$at.lora_a" => $mlx{"$at.lora_a"});
bad('an expert too many', qr/experts\.8\.up_proj: the model has no such product/,
	'model.layers.1.mlp.experts.8.up_proj.lora_a' => f32(noise(4 * $d), $d, 4),
	'model.layers.1.mlp.experts.8.up_proj.lora_b' => f32(noise(4 * $f), 4, $f));
bad('a layer without experts', qr/layers\.7\.mlp\S+: the model has no such product/,
	map { my $to = s/layers\.1/layers.7/r; ($to => $mlx{$_}) } "$at.lora_a", "$at.lora_b");
done_testing;
