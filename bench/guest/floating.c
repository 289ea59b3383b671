/* Floating point: scalar and packed SSE2, libm, and the x87. */

#include <emmintrin.h>
#include <math.h>
#include <string.h>

#include "bench.h"

static uint64_t
bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

#define BODIES 5

struct body {
	double x, y, z, vx, vy, vz, mass;
};

/* Some bodies around a heavy one; how they got there does not matter. */
static void
make_bodies(struct body bodies[BODIES])
{
	for (int i = 0; i < BODIES; i++) {
		bodies[i] = (struct body){
			.x = 5.0 * i, .y = 1.0 - i, .z = 0.1 * i,
			.vx = 0.2 * i, .vy = i == 0 ? 0 : 2.5 / i, .vz = 0.05,
			.mass = i == 0 ? 39.5 : 0.01 * i,
		};
	}
}

static void
advance(struct body bodies[BODIES], double dt)
{
	for (int i = 0; i < BODIES; i++) {
		struct body *a = &bodies[i];

		for (int j = i + 1; j < BODIES; j++) {
			struct body *b = &bodies[j];
			double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
			double square = dx * dx + dy * dy + dz * dz;
			double force = dt / (square * sqrt(square));

			a->vx -= dx * b->mass * force;
			a->vy -= dy * b->mass * force;
			a->vz -= dz * b->mass * force;
			b->vx += dx * a->mass * force;
			b->vy += dy * a->mass * force;
			b->vz += dz * a->mass * force;
		}
	}
	for (int i = 0; i < BODIES; i++) {
		bodies[i].x += dt * bodies[i].vx;
		bodies[i].y += dt * bodies[i].vy;
		bodies[i].z += dt * bodies[i].vz;
	}
}

static uint64_t
nbody(uint64_t steps)
{
	struct body bodies[BODIES];

	make_bodies(bodies);
	for (uint64_t i = 0; i < steps; i++)
		advance(bodies, 0.001);
	return mix_bytes(0, bodies, sizeof(bodies));
}

static uint64_t
libm(uint64_t steps)
{
	double sum = 0;

	for (uint64_t i = 1; i <= steps; i++) {
		double x = (double)(i % 1000) * 0.01 + 0.5;

		sum += sin(x) * cos(x) + exp(-x) + log(x) + pow(x, 1.7) + atan2(x, 3);
	}
	return bits_of(sum);
}

/* Integers to doubles and back, comparisons, and rounding: what prices and coordinates go through. */
static uint64_t
convert(uint64_t steps)
{
	uint64_t seed = 8, sum = 0;
	double low = 1e18, high = -1e18;

	for (uint64_t i = 0; i < steps; i++) {
		double x = (double)(int64_t)(next_random(&seed) >> 20) * 0.37;
		float y = (float)x;

		low = x < low ? x : low;
		high = x > high ? x : high;
		sum += (uint64_t)(int64_t)x + (uint32_t)(int)(y * 1e-6f);
	}
	return mix(mix(sum, bits_of(low)), bits_of(high));
}

#define ORDER 64

static double left[ORDER][ORDER], right[ORDER][ORDER], product[ORDER][ORDER];

static void
make_matrices(void)
{
	uint64_t seed = 21;

	for (int i = 0; i < ORDER; i++) {
		for (int j = 0; j < ORDER; j++) {
			left[i][j] = (double)(next_random(&seed) >> 40) / 1e6;
			right[i][j] = (double)(next_random(&seed) >> 40) / 1e6;
		}
	}
}

static void
multiply(void)
{
	for (int i = 0; i < ORDER; i++) {
		for (int j = 0; j < ORDER; j += 4) {
			__m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();

			for (int k = 0; k < ORDER; k++) {
				__m128d factor = _mm_set1_pd(left[i][k]);

				low = _mm_add_pd(low, _mm_mul_pd(factor, _mm_loadu_pd(&right[k][j])));
				high = _mm_add_pd(high, _mm_mul_pd(factor, _mm_loadu_pd(&right[k][j + 2])));
			}
			_mm_storeu_pd(&product[i][j], low);
			_mm_storeu_pd(&product[i][j + 2], high);
		}
	}
}

static uint64_t
matrix(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		left[i % ORDER][i / ORDER % ORDER] += 0.5;
		multiply();
		sum = mix(sum, bits_of(product[i % ORDER][i * 7 % ORDER]));
	}
	return sum;
}

/* Four points of the Mandelbrot set at a time, in single precision. */
static uint64_t
mandelbrot(uint64_t steps)
{
	const __m128 four = _mm_set1_ps(4), two = _mm_set1_ps(2);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		float column = (float)(i % 256) / 96 - 2;
		__m128 cr = _mm_setr_ps(column, column + 0.0025f, column + 0.005f, column + 0.0075f);
		__m128 ci = _mm_set1_ps((float)(i / 256 % 128) / 96 - 0.6f);
		__m128 r = _mm_setzero_ps(), j = _mm_setzero_ps(), counts = _mm_setzero_ps();

		for (int n = 0; n < 64; n++) {
			__m128 rr = _mm_mul_ps(r, r), jj = _mm_mul_ps(j, j);
			__m128 inside = _mm_cmple_ps(_mm_add_ps(rr, jj), four);

			if (_mm_movemask_ps(inside) == 0)
				break;
			counts = _mm_add_ps(counts, _mm_and_ps(inside, _mm_set1_ps(1)));
			j = _mm_add_ps(_mm_mul_ps(two, _mm_mul_ps(r, j)), ci);
			r = _mm_add_ps(_mm_sub_ps(rr, jj), cr);
		}
		counts = _mm_add_ps(counts, _mm_movehl_ps(counts, counts));
		sum += (uint64_t)_mm_cvtss_f32(counts) * (i + 1);
	}
	return sum;
}

/* Eighty bits: a logistic map, a continued fraction and a square root. */
static uint64_t
x87(uint64_t steps)
{
	long double x = 0.3L, y = 1.0L, z = 2.0L;
	uint64_t mantissa;

	for (uint64_t i = 0; i < steps; i++) {
		x = 3.7L * x * (1.0L - x);
		y = 1.0L / (1.0L + y) + x;
		z = __builtin_sqrtl(z + y) + (long double)(int)i * 1e-9L;
		if (z > 3.0L)
			z -= 1.5L;
	}
	x += y + z;
	memcpy(&mantissa, &x, sizeof(mantissa));
	return mantissa;
}

const struct item floating_items[] = {
	{ "nbody", "step", 1, 25000, 250000, nbody, NULL },
	{ "libm", "loop", 1, 40000, 400000, libm, NULL },
	{ "convert", "loop", 1, 800000, 8000000, convert, NULL },
	{ "matrix", "flop", 2 * ORDER * ORDER * ORDER, 20, 200, matrix, make_matrices },
	{ "mandelbrot", "block", 1, 10000, 100000, mandelbrot, NULL },
	{ "x87", "loop", 1, 100000, 1000000, x87, NULL },
	{ NULL },
};
