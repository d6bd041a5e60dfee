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
