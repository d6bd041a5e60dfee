#!/usr/bin/perl
# clm-quantize.t - forms and plans, what is told of them, and refusals.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $q = 'clm-quantize';
my $m = golden('llama');
my $d = new_dir();

sub config { decode_json(slurp("$_[0]/config.json"))->{quantization} }

for my $f ([ '4:32', 4, 32, 'affine' ], [ 'mxfp4', 4, 32, 'mxfp4' ], [ 'mxfp8', 8, 32, 'mxfp8' ],
	[ 'nvfp4', 4, 16, 'nvfp4' ]) {
	my ($form, $bits, $group, $mode) = @$f;
	my $r = run($q, '-t', $form, $m, '-o', "$d/$mode", '--json', "$d/$mode.json");

	is($r->{rc} . $r->{err}, '0', "-t $form");
	my $c = config("$d/$mode");
	is("$c->{bits} $c->{group_size} $c->{mode}", "$bits $group $mode", 'its config');
	ok(decode_json(slurp("$d/$mode.json"))->{bits_per_weight} > $bits, 'a report in JSON');
	is(run('clm-infer', '-m', "$d/$mode", '--device', 'cpu', '--ids', '-n', 2, '-p', '1 5 9')->{rc},
		0, 'it runs');
}
spit("$d/plan", "# all but these\n*.v_proj keep\n*.down_proj 6 32\n");
is(run($q, '-t', '4:32', '-p', "$d/plan", $m, '-o', "$d/planned")->{rc}, 0, 'a plan');
is(config("$d/planned")->{'model.layers.0.mlp.down_proj'}{bits}, 6, 'a layer of its own');

# bits that both sides can hold stay as they are, others are told of
sub rest { my $r = run('clm-convert', @_); return $r->{rc} . $r->{err} }
for my $form (qw(q4_0 q4_1 q5_0 q5_1 q8_0)) {
	spit("$d/all", "* $form\n");
	is(run($q, '-p', "$d/all", $m, '-o', "$d/$form.gguf")->{rc}, 0, $form);
	is(rest("$d/$form.gguf", '-o', "$d/$form.mlx"), '0', 'to MLX');
	is(rest("$d/$form.mlx", '-o', "$d/$form.back.gguf"), '0', 'and back');
	ok(slurp("$d/$form.gguf") eq slurp("$d/$form.back.gguf"), 'to the same bytes');
}
is(run($q, '-t', '4:32', '--dtype', 'f16', $m, '-o', "$d/a")->{rc}, 0, 'affine 4:32, scales in f16');
is(rest("$d/a", '-o', "$d/a.gguf"), '0', 'to a GGUF');
is(rest("$d/a.gguf", '-o', "$d/a.mlx"), '0', 'and back');
ok(slurp("$d/a/model.safetensors") eq slurp("$d/a.mlx/model.safetensors"), 'to the same bytes');
is(run($q, '-t', '8:64', $m, '-o', "$d/8")->{rc}, 0, 'affine with 8 bits');
like(rest("$d/8", '-o', "$d/8.gguf"), qr/^0.*note: affine 8-bit: \d+ weights become f16, the first \S/,
	'a GGUF has no such blocks, and that is told');
is(run($q, '-t', 'q6_k', demo(), '-o', "$d/k.gguf")->{rc}, 0, 'Q6_K');
like(rest("$d/k.gguf", '-o', "$d/k.mlx"), qr/^0.*note: q6_k: \d+ weights become f16, the first \S/,
	'and MLX none of those');

misused(qr/no form/, 'no form', $q, $m, '-o', "$d/x");
misused(qr/is for a GGUF/, 'a GGUF form for MLX', $q, '-t', 'q4_k_m', $m, '-o', "$d/x");
misused(qr/no such form/, 'an unknown form', $q, '-t', '7', $m, '-o', "$d/x");
misused(qr/--size needs a text/, 'a size without a text', $q, '-s', '4.5bpw', $m, '-o', "$d/x");
spit("$d/bad", "*.v_proj nine\n");
my $bad = run($q, '-p', "$d/bad", $m, '-o', "$d/x");
is($bad->{rc}, 3, 'a bad plan');
like($bad->{err}, qr/line 1: expected PATTERN FORM/, 'and where');
ok(!-e "$d/x", 'nothing is left');

done_testing;
