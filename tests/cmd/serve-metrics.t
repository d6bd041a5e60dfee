#!/usr/bin/perl
# serve-metrics.t - the text format's rules hold, what must be there is, and
# counters are what the answers said.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my $s = up($sock, 'clm-serve', '-q', '-m', 'a"b=' . demo(), '--device', 'cpu', '--batch', 4, '--metrics-alias',
	'llamacpp,vllm');
my %q = (model => 'a"b', prompt => 'Once upon a time there was a', max_tokens => 6);
my (%sum, $n);

sub count
{
	my ($u) = @_;

	$sum{prompt} += $u->{prompt_tokens};
	$sum{made} += $u->{completion_tokens};
	$sum{cached} += $u->{prompt_tokens_details}{cached_tokens} // 0;
	$n++;
}
count(json($sock, 'POST', '/v1/completions', { %q, %$_ })->{usage})
	for {}, { n => 3 }, { prompt => ['One', 'Two and more'] }, { max_tokens => 1 }, { stop => ['e'] };
count(json($sock, 'POST', '/v1/chat/completions', { model => 'a"b', max_tokens => 5,
	messages => [{ role => 'user', content => 'Hello' }] })->{usage}) for 1 .. 2;
is(ask($sock, 'POST', '/v1/completions', { %q, temperature => 9 })->{status}, 400, 'a refusal counts no tokens');
count(json($sock, 'POST', '/v1/completions', { %q, max_tokens => 0 })->{usage});
my %m;
my @text;
ok(until_true(sub {
	@text = split /\n/, ask($sock, 'GET', '/metrics')->{body};
	%m = map { /^([^# ]\S*(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } @text;
	$m{clm_requests_running} == 0;
}), 'nothing runs');

# ---- the format
my (%type, %help, @order, @bad, $family);
for (@text) {
	if (/^# HELP (\S+) \S/) {
		push @bad, "twice: $1" if $help{$1}++;
		push @order, $family = $1;
	} elsif (/^# TYPE (\S+) (counter|gauge|histogram)$/) {
		push @bad, "type of $1" if $type{$1} || $1 ne $family;
		$type{$1} = $2;
	} elsif (/^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (NaN|[+-]?Inf|[-+0-9.e]+)$/) {
		my $base = $type{$family} eq 'histogram' ? $1 =~ s/_(?:bucket|sum|count)$//r : $1;
		push @bad, "$1 within $family" if $base ne $family;
	} else {
		push @bad, $_;
	}
}
is("@bad", '', 'every line is one of the format, in its family');
is("@order", join(' ', sort @order), 'families by name');
is(join(' ', grep { $type{$_} eq 'counter' && !/_total$|^vllm:prefix_cache_hits$/ } sort keys %type), '', 'counters end in _total');
my %seen;
is(join(' ', grep { $seen{$_}++ } map { /^([^#].*) \S+$/ ? $1 : () } @text), '', 'no series twice');
for my $h (grep { $type{$_} eq 'histogram' } sort keys %type) {
	my @b = map { /^\Q$h\E_bucket\{.*le="([^"]+)"\} (\d+)$/ ? [$1, $2] : () } @text;
	my ($count) = map { /^\Q$h\E_count(?:\{.*\})? (\d+)$/ ? $1 : () } @text;
	my $ok = $b[-1][0] eq '+Inf' && $b[-1][1] == $count;
	$ok &&= $b[$_][1] >= $b[$_ - 1][1] && ($b[$_][0] eq '+Inf' || $b[$_][0] > $b[$_ - 1][0]) for 1 .. $#b;
	ok($ok, "$h: buckets add up");
}

# ---- the list
ok(exists $type{$_}, $_) for qw(clm_build_info clm_requests_total clm_requests_running clm_requests_waiting
	clm_requests_cancelled_total clm_prompt_tokens_total clm_prompt_tokens_cached_total clm_generated_tokens_total
	clm_prefill_seconds_total clm_decode_seconds_total clm_decode_steps_total clm_batch_size
	clm_time_to_first_token_seconds clm_inter_token_seconds clm_request_seconds clm_queue_seconds clm_prefill_seconds
	clm_decode_seconds clm_kv_blocks clm_kv_usage_ratio clm_preemptions_total clm_stall_seconds clm_model_loaded
	clm_model_bytes clm_model_load_seconds clm_device_memory_bytes clm_device_errors_total
	process_resident_memory_bytes process_open_fds process_max_fds process_cpu_seconds_total
	process_start_time_seconds llamacpp:tokens_predicted_total llamacpp:n_busy_slots_per_decode
	vllm:e2e_request_latency_seconds vllm:kv_cache_usage_perc);

# ---- the sums
is($m{clm_prompt_tokens_total}, $sum{prompt}, 'prompt tokens');
is($m{clm_generated_tokens_total}, $sum{made}, 'generated tokens');
is($m{'llamacpp:tokens_predicted_total'}, $sum{made}, 'under llama-server\'s name');
is($m{'vllm:generation_tokens_total{model_name="a\\"b"}'}, $sum{made}, 'under vLLM\'s');
is($m{clm_request_seconds_count}, $n, 'requests');
is($m{'clm_kv_blocks{state="active"}'}, 0, 'no page is held');
ok($m{'clm_kv_blocks{state="free"}'} > 0, 'there are free ones');
is($m{'clm_model_loaded{model="a\\"b"}'}, 1, 'the model');
ok($m{'clm_model_bytes{model="a\\"b"}'} > 1e6, 'its bytes');
down($s, 'a server with metrics');
misused(qr/expected llamacpp or vllm, found "x"/, 'no such names', 'clm-serve', '-m', demo(), '--metrics-alias', 'vllm,x');

done_testing();
