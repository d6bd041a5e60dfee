/* SPDX-License-Identifier: MIT */
/* route.c - which experts a row takes, on the host: scores in double, so that
 * ref and cpu choose alike. */
#include <math.h>

#include "exec/route.h"

/* Groups whose two best experts add up to least are chosen by 0. */
static void drop_groups(double *choice, size_t n, const struct routing *how)
{
	size_t size = n / how->n_groups, better;
	double sum[MOST_EXPERTS];

	for (size_t g = 0; g < how->n_groups; g++) {
		double best = -INFINITY, next = -INFINITY;

		for (size_t i = g * size; i < (g + 1) * size; i++) {
			double v = choice[i];

			next = v > best ? best : v > next ? v : next;
			best = v > best ? v : best;
		}
		sum[g] = best + next;
	}
	for (size_t g = 0; g < how->n_groups; g++) {
		better = 0;
		for (size_t o = 0; o < how->n_groups; o++)
			better += sum[o] > sum[g] || (sum[o] == sum[g] && o < g);
		for (size_t i = g * size; better >= how->top_groups && i < (g + 1) * size; i++)
			choice[i] = 0;
	}
}

static size_t best_of(const double *choice, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (choice[i] > choice[best])
			best = i;
	return best;
}

static double sigmoid(double v)
{
	return 1 / (1 + exp(-v));
}

void route_row(float *out, const float *logits, const float *bias, size_t n,
               const struct routing *how)
{
	double choice[MOST_EXPERTS], weight[MOST_USED], most = -INFINITY, total = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		double v = (double)logits[i];

		most = v > most ? v : most;
		choice[i] = (how->score == SCORE_SIGMOID ? sigmoid(v) : v) +
		            (bias && !how->gains ? (double)bias[i] : 0);
	}
	for (size_t i = 0; how->score == SCORE_SOFTMAX && i < n; i++)
		total += exp((double)logits[i] - most);
	if (how->n_groups > 1)
		drop_groups(choice, n, how);
	for (size_t j = 0; j < how->k; j++) {
		size_t i = best_of(choice, n);
		double v = (double)logits[i];

		weight[j] = how->score == SCORE_SIGMOID ? sigmoid(v) : exp(v - most);
		weight[j] /= how->score == SCORE_SOFTMAX ? total : 1;
		sum += weight[j];
		choice[i] = -INFINITY;
		out[j] = (float)i;
	}
	if (!how->normalize && how->score != SCORE_CHOSEN)
		sum = 1;
	for (size_t j = 0; j < how->k; j++)
		out[how->k + j] = (float)(weight[j] / (sum > 0 ? sum : 1) * (double)how->scale *
		                          (bias && how->gains ? (double)bias[(size_t)out[j]] : 1));
}
