#!/usr/bin/perl
# clm-embed.t - a vector per text.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $m = demo();
my $bert = golden('bert');
my @e = ('clm-embed', '-m', $m, '--device', 'cpu');
my @b = ('clm-embed', '-m', $bert, '--device', 'cpu', '--ids');
my $d = new_dir();

sub out { my $r = run(@_); is($r->{rc} . $r->{err}, '0', 'exit 0, in silence'); return $r->{out} }
sub floats { my ($npy) = @_; return unpack 'f<*', substr $npy, 128 }
sub vector { my ($line) = @_; $line =~ /"embedding": \[(.*)\]\}/; return split /, /, $1 }
sub furthest
{
	my ($x, $y) = @_;
	my $worst = abs(@$x - @$y);

	for (0 .. $#$x) { my $o = abs($x->[$_] - $y->[$_]); $worst = $o if $o > $worst }
	return $worst;
}

# ---- an encoder, against an independent implementation
my $ids = join ' ', slurp("$bert/golden.json") =~ /"ids": \[([^\]]*)\]/;
$ids =~ tr/,//d;
my @want = floats(slurp("$bert/embedding.npy"));
for my $how ('', '--exact') {
	my @have = vector(out({ in => "$ids\n" }, @b, '--normalize', $how || ()));
	ok(furthest(\@have, \@want) <= 1e-4, "the golden vector $how");
}
my $lines = out({ in => "1 2 3\n4\n5 6\n" }, @b);
is(join(' ', $lines =~ /^\{"index": (\d+), "tokens": (\d+)/mg), '0 3 1 1 2 2', 'a record a line');
is(out({ in => "4\n" }, @b) =~ s/.*\[//r, (split /\n/, $lines)[1] =~ s/.*\[//r . "\n",
	'a text is as though alone');
is(out({ in => "1 2 3\n4\n5 6\n" }, @b, '--batch', 1), $lines, 'however many go together');

# ---- what sentence-transformers writes beside a model
for my $f ('config.json', 'model.safetensors') { spit("$d/$f", slurp("$bert/$f")) }
mkdir "$d/1_Pooling";
my $transformers = 'sentence_transformers.models';
spit("$d/modules.json", qq([{"idx": 0, "name": "0", "path": "", "type": "$transformers.Transformer"},
	{"idx": 1, "name": "1", "path": "1_Pooling", "type": "$transformers.Pooling"},
	{"idx": 2, "name": "2", "path": "2_Normalize", "type": "$transformers.Normalize"}]));
my @st = ('clm-embed', '-m', $d, '--device', 'cpu', '--ids');
my $pooling = sub { spit("$d/1_Pooling/config.json", $_[0]) };
$pooling->('{"word_embedding_dimension": 64, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}');
ok(furthest([vector(out({ in => $ids }, @st))], \@want) <= 1e-4, 'mean and normalized, by the files');
$pooling->('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}');
is(out({ in => $ids }, @st, '--no-normalize'), out({ in => $ids }, @b, '--pool', 'cls'), 'cls');
$pooling->('{"pooling_mode": "lasttoken"}');
is(out({ in => $ids }, @st, '--no-normalize'), out({ in => $ids }, @b, '--pool', 'last'), 'last');
$pooling->('{"pooling_mode_max_tokens": true}');
refused(qr/1_Pooling\/config.json: pooling: expected one of mean, cls and last token/, 'the largest',
	{ in => $ids }, @st);
unlink "$d/1_Pooling/config.json";
refused(qr/1_Pooling\/config.json: missing/, 'no pooling', { in => $ids }, @st);
spit("$d/modules.json", qq([{"path": "2_Dense", "type": "$transformers.Dense"}]));
refused(qr/modules.json: expected Transformer, Pooling or Normalize, found "$transformers.Dense"/,
	'a module that is not known', { in => $ids }, @st);
spit("$d/modules.json", qq([{"path": "../..", "type": "$transformers.Pooling"}]));
refused(qr/expected a plain file name/, 'a path that leaves', { in => $ids }, @st);

# ---- a model that makes text
my $text = out({ in => "one\ntwo words\n" }, @e, '--lines');
is(() = $text =~ /^\{"index"/mg, 2, 'lines');
is(scalar vector($text), 256, 'as wide as the model');
my $few = out({ in => "one\ntwo words\n" }, @e, '--lines', '--dimensions', 3);
is(join(', ', (vector($text))[0 .. 2]), join(', ', vector($few)), '--dimensions');
my $long = 'word ' x 700;
isnt(out({ in => $long }, @e, '--pool', 'mean'), out({ in => $long }, @e), 'a text of several passes');
my $records = out({ in => qq({"text": "one", "id": "a"}\n{"ids": [1, 2], "id": {"n": 7}}\n) }, @e, '--jsonl');
is(join(' ', $records =~ /^\{"id": (.*?), "tokens"/mg), '"a" {"n": 7}', 'ids come back');
is((vector($records))[9], (vector($text))[9], 'a record is a text');

# ---- arrays
run({ in => "one\ntwo words\n" }, @e, '--lines', '-o', "$d/a.npy");
my $npy = slurp("$d/a.npy");
like($npy, qr/^\x93NUMPY.*'shape': \(2, 256\)/s, 'a row per text');
ok(furthest([(floats($npy))[0 .. 255]], [vector($text)]) < 1e-6, 'the same numbers');
is(out({ in => "one\ntwo words\n" }, @e, '--lines', '--npy'), $npy, '--npy');
out({ in => 'one' }, @e, '-o', "$d/a.jsonl");
is(slurp("$d/a.jsonl"), (split /\n/, $text)[0] . "\n", '-o');
is(join(' ', grep { /tmp/ } files_of($d)), '', 'nothing left behind');

# ---- refusals
refused(qr/an encoder makes no text: clm-embed reads it/, 'clm-infer', 'clm-infer', '-m', $bert, '--ids',
	'-p', '1');
refused(qr/text 1: expected 1 to 128 tokens, found 129/, 'longer than the context',
	{ in => '7 ' x 129 }, @b);
refused(qr/--dimensions: expected at most 64, found 65/, 'too many dimensions', { in => '1' }, @b,
	'--dimensions', 65);
refused(qr/expected a "text" or "ids"/, 'a record of neither', { in => '{}' }, @e, '--jsonl');
refused(qr/expected 0 to 319, found 999/, 'an id out of range', { in => '999' }, @b);
misused(qr/--pool: expected one of/, 'a pool that is none', { in => '1' }, @b, '--pool', 'max');
misused(qr/opposites/, '--normalize --no-normalize', { in => '1' }, @b, '--normalize', '--no-normalize');
misused(qr/--jsonl has a record a line/, '--jsonl --lines', { in => '1' }, @e, '--jsonl', '--lines');

done_testing;
