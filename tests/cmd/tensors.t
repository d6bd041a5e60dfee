#!/usr/bin/perl
# tensors.t - models that lack a tensor, or have one too many; text models
# within larger ones.
use strict;
use warnings;
use lib 'tests/cmd';
use JSON::PP;
use Run;
use Test::More;

my $json = JSON::PP->new->utf8->canonical;

# A golden model with its tensors' heads and config changed by the sub.
sub changed
{
	my ($family, $change) = @_;
	my $d = new_dir();
	my $file = slurp(golden($family) . '/model.safetensors');
	my $n = unpack 'Q<', $file;
	my $heads = $json->decode(substr $file, 8, $n);
	my $config = $json->decode(slurp(golden($family) . '/config.json'));

	delete $heads->{__metadata__};
	$change->($heads, $config);
	my ($data, $end) = ('', 0);
	for my $t (map { $heads->{$_} } sort { $heads->{$a}{data_offsets}[0] <=> $heads->{$b}{data_offsets}[0] } keys %$heads) {
		my ($from, $to) = @{ $t->{data_offsets} };
		$data .= substr $file, 8 + $n + $from, $to - $from;
		$t->{data_offsets} = [$end + 0, $end + $to - $from];
		$end += $to - $from;
	}
	my $text = $json->encode($heads);
	$text .= ' ' x (-length($text) % 8);
	spit("$d/model.safetensors", pack('Q<', length $text) . $text . $data);
	spit("$d/config.json", $json->encode($config));
	return $d;
}

my @ids = ({ in => "1 5 9 3 8 2\n" }, 'clm-infer', '--ids', '--device', 'ref', '-n', '4');

# ---- too few, too many
my $d = changed('llama', sub { delete $_[0]{'model.norm.weight'} });
refused(qr/: model\.norm\.weight: missing$/, 'one is missing', @ids, '-m', $d);
$d = changed('llama', sub {
	my ($h) = @_;
	delete @$h{'model.norm.weight', grep { /q_proj|2\.mlp/ } keys %$h};
});
my $layers = $json->decode(slurp("$d/config.json"))->{num_hidden_layers};
my ($last, $n) = ($layers - 1, $layers + 4);
refused(qr/: $n tensors are missing: model\.norm\.weight, .*model\.layers\.\{0-$last\}\.self_attn\.q_proj\.weight/,
	'all that are missing are named', @ids, '-m', $d);
refused(qr/model\.layers\.2\.mlp\.down_proj\.weight, model\.layers\.2\.mlp\.gate_proj\.weight/,
	'one by one where only a layer lacks them', @ids, '-m', $d);
my $over = sub {
	my ($h, @names) = @_;
	my $end = 0;
	for (values %$h) { $end = $_->{data_offsets}[1] if $_->{data_offsets}[1] > $end }
	@$h{@names} = map { { dtype => 'F32', shape => [0], data_offsets => [$end, $end] } } @names;
};
$d = changed('llama', sub { $over->($_[0], map { "model.layers.$_.self_attn.q_norm.weight" } 0, 1, 3) });
refused(qr/: model\.layers\.\{0-1,3\}\.self_attn\.q_norm\.weight: llama has no such tensors$/,
	'what the family has not is named', @ids, '-m', $d);
$d = changed('llama', sub { $over->($_[0], 'extra.weight') });
refused(qr/: extra\.weight: llama has no such tensor$/, 'one of them', @ids, '-m', $d);
$d = changed('llama', sub { $over->($_[0], 'model.layers.0.self_attn.rotary_emb.inv_freq') });
my $r = run(@ids, '-m', $d);
my $plain = run(@ids, '-m', golden('llama'));
is("$r->{rc}$r->{err}$r->{out}", "0$plain->{out}", 'what nobody needs is passed over');
$d = changed('qwen3_moe', sub { delete @{ $_[0] }{grep { /experts\.3\.up/ } keys %{ $_[0] }} });
refused(qr/ tensors are missing: model\.layers\.\{\d+-\d+\}\.mlp\.experts\.3\.up_proj\.weight$/, 'experts', @ids,
	'-m', $d);
$d = changed('llama', sub { my ($h) = @_; delete @$h{grep { !/norm/ } keys %$h} });
$r = run(@ids, '-m', $d);
ok($r->{rc} == 3 && length $r->{err} < 1200 && $r->{err} =~ / tensors are missing: model.embed_tokens/,
	'none is there') or diag $r->{err};

# ---- layers of two kinds
for my $c ([per_layer_config => { 9 => {} }, qr/per_layer_config: expected objects of layers with full attention, found "9"/],
           [per_layer_config => { 0 => {} }, qr/per_layer_config: expected objects of layers with full attention, found "0"/],
           [per_layer_config => { 5 => { x => 1 } }, qr/per_layer_config: expected head_dim or num_key_value_heads, found "x"/],
           [per_layer_config => { 5 => { head_dim => 514 } }, qr/full attention: heads of 514/],
           [num_kv_shared_layers => 6, qr/num_kv_shared_layers: expected below 6, found 6/],
           [num_kv_shared_layers => 1, qr/num_kv_shared_layers: layer 5 has no earlier one of its kind/],
           [hidden_size_per_layer_input => 99999, qr/hidden_size_per_layer_input: 99999 for 6 layers/],
           [rope_parameters => { rope_type => 'default' }, qr/rope_type: expected proportional in full layers/],
           [enable_moe_block => JSON::PP::true, qr/experts: expected up to 64 of up to 1024, found 0 of 0/]) {
	my ($key, $value, $want) = @$c;
	$d = changed('gemma4_text', sub { $_[1]{$key} = $value });
	refused($want, "$key: refused", @ids, '-m', $d);
}

# ---- a text model within a larger one
my @places = (
	['language_model.', sub { "language_model.$_[0]" }, ''],
	['model.language_model.', sub { $_[0] =~ s/^model\./model.language_model./r }, 'model.'],
);
my $bare = run(@ids, '-m', golden('gemma3_text'));
my $to = new_dir();
is(run('clm-convert', golden('gemma3_text'), '-o', "$to/bare")->{rc}, 0, 'the text model alone');
for my $p (@places) {
	my ($name, $rename, $front) = @$p;
	$d = changed('gemma3_text', sub {
		my ($h, $c) = @_;
		my %text = %$c;
		%$h = map { $rename->($_) => $h->{$_} } keys %$h;
		$over->($h, "${front}vision_tower.x.weight", "${front}multi_modal_projector.y.weight");
		delete $text{architectures};
		%$c = (model_type => 'gemma3', text_config => \%text, vision_config => {});
	});
	$r = run(@ids, '-m', $d);
	is($r->{out}, $bare->{out}, "$name: the same tokens");
	is($r->{err}, "clm-infer: note: left out: 2 tensors of multi_modal_projector, vision_tower\n",
		"$name: a line tells what was left out");
	is(run(@ids, '-q', '-m', $d)->{err}, '', "$name: nothing with --quiet");
	$r = run('clm-convert', $d, '-o', "$to/$name");
	is($r->{err}, "clm-convert: note: left out: 2 tensors that are not the text model's\n", "$name: converted");
	is(slurp("$to/$name/model.safetensors"), slurp("$to/bare/model.safetensors"), "$name: the same bytes");
	my $c = $json->decode(slurp("$to/$name/config.json"));
	is("$c->{model_type} $c->{architectures}[0]", 'gemma3_text Gemma3ForCausalLM', "$name: a text model's config");
	ok(!$c->{vision_config} && !$c->{text_config}, "$name: nothing else in it");
}
$d = changed('llama', sub { my ($h, $c) = @_; %$c = (model_type => 'llava', text_config => { model_type => 'zebra' }) });
refused(qr/text_config: model_type: "zebra" is not among the families known here: llama /, 'its family is not known',
	@ids, '-m', $d);
$d = changed('llama', sub { my ($h, $c) = @_; %$c = (model_type => 'zebra', text_config => { %$c }) });
refused(qr/: model_type: "zebra" is not among the families known here: llama /, 'nor the whole', @ids, '-m', $d);
done_testing;
