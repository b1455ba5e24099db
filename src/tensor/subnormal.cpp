#include "fer/tensor/subnormal.h"

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace fer {
namespace {

#if defined(__x86_64__)

void flush_on_this_thread(bool flush) {
  constexpr unsigned flush_to_zero = 1u << 15, denormals_are_zero = 1u << 6;
  const unsigned others = _mm_getcsr() & ~(flush_to_zero | denormals_are_zero);
  _mm_setcsr(flush ? others | flush_to_zero | denormals_are_zero : others);
}
constexpr bool kKnown = true;

#elif defined(__aarch64__)

void flush_on_this_thread(bool flush) {
  constexpr std::uint64_t flush_to_zero = std::uint64_t{1} << 24;
  std::uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  control = flush ? control | flush_to_zero : control & ~flush_to_zero;
  asm volatile("msr fpcr, %0" : : "r"(control));
}
constexpr bool kKnown = true;

#else

void flush_on_this_thread(bool) {}
constexpr bool kKnown = false;

#endif

}  // namespace

bool flush_subnormals(bool flush) {
  // A new thread inherits the setting of its parent, but OpenMP's threads may be running already.
#pragma omp parallel
  flush_on_this_thread(flush);
  return kKnown;
}

}  // namespace fer
