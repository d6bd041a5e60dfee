#!/usr/bin/perl
# configs.t - published configs: what each model has is right to a percent,
# and the families that are not there are refused by name.
use strict;
use warnings;
use lib 'tests/cmd';
use Run;
use Test::More;

my $dir = "$ENV{SHARED}/data/configs";

plan skip_all => 'no configs' if !-d $dir;

# family, layers, parameters as published, in millions
my %known = (
	'Qwen--Qwen3-0.6B' => ['qwen3', 28, 596],
	'Qwen--Qwen3-30B-A3B' => ['qwen3_moe', 48, 30532],
	'deepseek-ai--DeepSeek-V3' => ['deepseek_v3', 61, 671026],
	'openai--gpt-oss-20b' => ['gpt_oss', 24, 20915],
	'moonshotai--Kimi-K2-Instruct' => ['kimi_k2', 61, 1026408],
	'google--gemma-4-26B-A4B' => ['gemma4_text', 30, 25200],
	'executorch--phi-4-mini-reasoning' => ['phi3', 32, 3836],
	'mistralai--Mixtral-8x7B-v0.1' => ['mixtral', 32, 46703],
	'Qwen--Qwen3-8B' => ['qwen3', 36, 8191],
	'Qwen--Qwen3-VL-4B-Instruct' => ['qwen3', 36, 4022],
	'executorch--gemma3_1b_it' => ['gemma3_text', 26, 1000],
	'dotnet--phi-3-mini-128k-instruct' => ['phi3', 32, 3821],
	'dotnet--phi-3-mini-4k-instruct' => ['phi3', 32, 3821],
	'executorch--Llama-3.2-1B-Instruct' => ['llama', 16, 1236],
	'executorch--Qwen2-1.5B-Instruct' => ['qwen2', 28, 1544],
	'executorch--Qwen2.5-0.5B-Instruct' => ['qwen2', 24, 494],
	'executorch--gemma2_2b_it' => ['gemma2', 26, 2614],
	'meta-llama--Meta-Llama-3.1-8B' => ['llama', 32, 8030],
	'nvidia--Llama-3.1-70B-Instruct-FP8' => ['llama', 80, 70554],
);
my %unknown = (
	'MiniMaxAI--MiniMax-M2.5' => 'minimax_m2',
	'XiaomiMiMo--MiMo-7B-Base' => 'mimo',
	'dotnet--phi-2' => 'phi',
	'meta-llama--Llama-4-Scout-17B-16E-Instruct' => 'llama4',
	'moonshotai--Kimi-K3' => 'kimi_k3',
	'nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16' => 'nemotron_h',
	'rtp-llm--glm45' => 'glm4_moe',
	'stepfun-ai--Step-3.7-Flash' => 'step3p7',
	'zai-org--GLM-5' => 'glm_moe_dsa',
	'deepseek-ai--DeepSeek-V3.2' => 'deepseek_v32',
	'Qwen--Qwen3.5-27B' => 'qwen3_5',
);

for my $name (sort keys %known) {
	my ($family, $layers, $millions) = @{ $known{$name} };
	my %r = map { split /\t/, $_, 2 } split /\n/, run('clm-info', "$dir/$name.config.json")->{out};

	is($r{family}, $family, "$name: its family");
	is($r{layers}, $layers, "$name: its layers");
	cmp_ok(abs(($r{parameters} // 0) / 1e6 - $millions), '<', $millions / 100, "$name: its parameters");
	is($r{memory_f16}, 2 * $r{parameters}, "$name: 16 bits of memory each");
	cmp_ok($r{cache_per_token}, '>', 0, "$name: cache of a token");
}
for my $name (sort keys %unknown) {
	refused(qr{model_type: "$unknown{$name}" is not among the families known here: llama },
		"$name: refused by name", 'clm-info', "$dir/$name.config.json");
}
done_testing;
