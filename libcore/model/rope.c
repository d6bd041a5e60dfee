/* SPDX-License-Identifier: MIT */
/* rope.c - inverse frequencies of every scaling, in double
 *
 * Given the hyperparameters; gives a struct rope that exec turns into angles.
 * The llama3 divisors are rounded to f32 first, as a GGUF stores them, so
 * that a model rotates alike from every container. */
#include "model/config.h"

#include <math.h>

static double clip01(double v)
{
	return v < 0 ? 0 : v > 1 ? 1 : v;
}

void config_llama3_divisors(struct config *c)
{
	for (size_t i = 0; i < c->rope_dims / 2; i++) {
		double period = 2 * M_PI *
		                pow(c->rope_theta, 2.0 * (double)i / (double)c->rope_dims);
		double orig = (double)c->rope_original, divisor = 1;

		if (period > orig / c->rope_low) {
			divisor = c->rope_factor;
		} else if (period > orig / c->rope_high) {
			double s = (orig / period - c->rope_low) / (c->rope_high - c->rope_low);

			divisor = 1 / ((1 - s) / c->rope_factor + s);
		}
		c->rope_divisor[i] = (float)divisor;
	}
	c->has_rope_divisor = true;
}

/* The pair whose wave turns `turns` times in the original context. */
static double yarn_pair(const struct config *c, double turns)
{
	return (double)c->rope_dims * log((double)c->rope_original / (turns * 2 * M_PI)) /
	       (2 * log(c->rope_theta));
}

double config_yarn_gain(double factor, double mscale)
{
	return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* Peng et al., 2023, arXiv:2309.00071 */
static void yarn(const struct config *c, struct rope *out)
{
	double lo = yarn_pair(c, c->rope_beta_fast), hi = yarn_pair(c, c->rope_beta_slow);
	double top = (double)c->rope_dims - 1;

	if (c->rope_truncate) {
		lo = floor(lo);
		hi = ceil(hi);
	}
	lo = lo < 0 ? 0 : lo;
	hi = hi > top ? top : hi;
	if (hi == lo)
		hi += 0.001;
	for (size_t i = 0; i < c->rope_dims / 2; i++) {
		double keep = 1 - clip01(((double)i - lo) / (hi - lo));

		out->inv_freq[i] *= keep + (1 - keep) / c->rope_factor;
	}
	if (c->rope_attention_factor > 0)
		out->scale = (float)c->rope_attention_factor;
	else if (c->rope_mscale > 0 && c->rope_mscale_all > 0)
		out->scale = (float)(config_yarn_gain(c->rope_factor, c->rope_mscale) /
		                     config_yarn_gain(c->rope_factor, c->rope_mscale_all));
	else
		out->scale = (float)config_yarn_gain(c->rope_factor, 1);
}

void config_rope(const struct config *c, struct rope *out, bool local)
{
	double theta = local ? c->rope_local_theta : c->rope_theta;
	size_t dims = local && c->rope_local_dims ? c->rope_local_dims : c->rope_dims;

	*out = (struct rope){ .dims = dims, .interleaved = c->rope_interleaved, .scale = 1 };
	for (size_t i = 0; i < dims / 2; i++) {
		out->inv_freq[i] = pow(theta, -2.0 * (double)i / (double)dims);
		if (local)
			continue;
		if (c->has_rope_divisor && c->rope_divisor[i] >= NEVER_TURNED)
			out->inv_freq[i] = 0;
		else if (c->has_rope_divisor)
			out->inv_freq[i] /= (double)c->rope_divisor[i];
		if (c->rope_kind == ROPE_LINEAR)
			out->inv_freq[i] /= c->rope_factor;
	}
	if (local)
		return;
	if (c->rope_kind == ROPE_YARN)
		yarn(c, out);
	if (c->rope_kind == ROPE_LONG) {
		out->scale = (float)c->rope_attention_factor;
		out->far = c->rope_original;
		for (size_t i = 0; i < c->rope_dims / 2; i++)
			out->far_inv_freq[i] = out->inv_freq[i] * (double)c->rope_divisor[i] /
			                       (double)c->rope_far_divisor[i];
	}
	if (c->rope_kind == ROPE_DYNAMIC) {
		out->dynamic_base = c->rope_theta;
		out->dynamic_factor = c->rope_factor;
		out->dynamic_max_pos = c->max_pos;
	}
}
