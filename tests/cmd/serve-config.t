#!/usr/bin/perl
# serve-config.t - a server's settings from YAML: what is taken, what goes
# before, and what is refused with its line.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $d = new_dir();
my @serve = ('clm-serve', '--config', "$d/s.yaml");
my @bad = (
	["modells: x\n", qr/s.yaml:1: unknown key "modells"$/],
	["batch: 8\nbatch: 9\n", qr/s.yaml:2: batch: it stands at line 1 already$/],
	["\nany-model: yes\n", qr/s.yaml:2: any-model: expected true or false, found yes$/],
	["batch: [1]\n", qr/s.yaml:1: batch: expected a number or a word, found a list$/],
	["batch: many\n", qr/s.yaml:1: batch: expected a number from 1 to 4096, found "many"$/],
	["model: {a: b}\n", qr/s.yaml:1: model: expected a text or a list of texts, found a map$/],
	["key-file: ~\n", qr/s.yaml:1: key-file: expected FILE, found nothing$/],
	["config: x\n", qr/s.yaml:1: config: only on the command line$/],
	["model: &a x\n", qr/s.yaml:1: anchors and tags are not taken$/],
	["- model\n", qr/s.yaml:1: expected a map of options, found a list$/],
	["model: [x\n", qr/s.yaml:\d: did not find expected/],
	["threads: 5000\n", qr/s.yaml:1: threads: expected a number from 0 to 4096, found "5000"$/],
);

for (@bad) {
	my ($text, $want) = @$_;

	spit("$d/s.yaml", $text);
	refused($want, $text =~ s/\n/ /gr, @serve);
}
refused(qr/none: /, 'no such file', 'clm-serve', '--config', "$d/none");
spit("$d/s.yaml", "batch: 0\n");
refused(qr/batch: expected/, 'what is not used is checked all the same', @serve, '--batch', 4);
spit("$d/s.yaml", "model: nowhere\nlisten: [$d/s.sock]\nquiet: true\n");
refused(qr/nowhere/, 'the model of the file', @serve);
refused(qr/elsewhere/, 'that of the command line goes before', @serve, '-m', 'elsewhere');
refused(qr/beyond/, 'that of the environment too', { env => { CLM_MODEL => 'beyond' } }, @serve);
refused(qr/nowhere/, 'the file of the environment', { env => { CLM_CONFIG => "$d/s.yaml" } }, 'clm-serve');

done_testing();
