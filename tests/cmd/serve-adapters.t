#!/usr/bin/perl
# serve-adapters.t - requests with different adapters in one batch: each
# answer is the one that clm-infer --adapter gives alone.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";

# A LoRA of the demo model, of numbers from a seed.
sub make_adapter
{
	my ($dir, $seed) = @_;
	my ($data, %head) = '';

	mkdir $dir;
	srand $seed;
	for my $layer (0 .. 4) {
		for my $part (['self_attn.q_proj', 256, 256], ['mlp.up_proj', 256, 512]) {
			my ($name, $in, $out) = @$part;
			for (['A', 2, $in], ['B', $out, 2]) {
				my ($side, $rows, $columns) = @$_;
				my $at = length $data;
				$data .= pack 'f<*', map { rand(0.4) - 0.2 } 1 .. $rows * $columns;
				$head{"base_model.model.model.layers.$layer.$name.lora_$side.weight"} =
					{ dtype => 'F32', shape => [$rows, $columns], data_offsets => [$at, length $data] };
			}
		}
	}
	my $head = encode_json(\%head);
	spit("$dir/adapter_model.safetensors", pack('Q<', length $head) . $head . $data);
	spit("$dir/adapter_config.json", encode_json({ peft_type => 'LORA', r => 2, lora_alpha => 4,
		target_modules => ['q_proj', 'up_proj'], base_model_name_or_path => 'demo' }));
}

make_adapter("$d/a", 1);
make_adapter("$d/b", 2);
my %q = (prompt => 'Once upon a time', max_tokens => 16, temperature => 0.8, seed => 5);
my @infer = ('clm-infer', '-m', demo(), '--device', 'cpu', '-p', $q{prompt}, '-n', 16, '--temp', 0.8, '--seed', 5);
sub alone { run(@infer, @_)->{out} =~ s/\n\z//r }
my %want = (demo => alone(), 'demo:x' => alone('--adapter', "$d/a"), 'demo:y' => alone('--adapter', "$d/b=0.5"));
is(scalar(keys %{ { reverse %want } }), 3, 'three different texts');

my $s = up($sock, 'clm-serve', '-q', '-m', demo(), '--device', 'cpu', '--adapter', "demo:x=$d/a", '--adapter',
	"demo:y=$d/b=0.5");
is(join(' ', map { $_->{id} } @{ json($sock, 'GET', '/v1/models')->{data} }), 'demo demo:x demo:y', 'they are listed');
my @names = map { (sort keys %want)[$_ % 3] } 1 .. 9;
my @c = map { begin($sock, 'POST', '/v1/completions', { %q, model => $_ }) } @names;
is_deeply([map { rest_of($_)->{json}{choices}[0]{text} } @c], [map { $want{$_} } @names],
	'nine at once, three adapters');
is(json($sock, 'POST', '/v1/completions', { %q, model => 'demo', adapter => 'y' })->{choices}[0]{text}, $want{'demo:y'},
	'by the member adapter');
is(json($sock, 'POST', '/v1/completions', { %q, model => 'demo:x', n => 2, stop => ['zzz'] })->{choices}[0]{text},
	$want{'demo:x'}, 'of two choices the first');
is(json($sock, 'POST', '/v1/completions', { %q, model => 'demo', adapter => $_ })->{error}{param}, 'adapter',
	"no adapter: $_") for "$d/a", 'z', '../a';
is(ask($sock, 'POST', '/v1/completions', { %q, model => 'demo:z' })->{status}, 404, 'nor a model');
down($s, 'a server with adapters');
misused(qr/expected MODEL:NAME=DIR/, 'no form of an adapter', 'clm-serve', '-m', demo(), '--adapter', $_)
	for 'x', "demo=$d/a", "demo:=$d/a", 'demo:x=';
refused(qr/none/, 'no such adapter', 'clm-serve', '-m', demo(), '--adapter', 'demo:x=none', '-l', $sock);

done_testing();
