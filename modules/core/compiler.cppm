// Everything that is said to a particular compiler or sanitizer: but for a square root in tensor, which GCC 16 cannot
// import from here, no other file asks which one it is.
module;
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__SANITIZE_ADDRESS__)
#define BUFFERS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUFFERS_ASAN 1
#endif
#endif

#if defined(BUFFERS_ASAN)
#include <sanitizer/asan_interface.h>
#endif
export module buffers.core:compiler;

export namespace buffers::detail {

/// Whether this library was built to check what costs too much for every program (CMake option BUFFERS_HARDENED).
inline constexpr bool hardened = BUFFERS_HARDENED;

/// Whether the library was compiled with AddressSanitizer.
extern const bool library_is_sanitized;

/// Tells AddressSanitizer, and in the hardened build Valgrind, that nobody may touch these bytes. For code that is
/// compiled once, into the library: it finds AddressSanitizer in the running program, so that a program built with it
/// may use a library built without.
void poison_in_program(const volatile void* first, std::size_t bytes) noexcept;
/// ... that they may be touched again, and count as initialised.
void unpoison_in_program(const volatile void* first, std::size_t bytes) noexcept;

/// poison_in_program() and unpoison_in_program() for code that is compiled into each program: AddressSanitizer is told
/// where the program is compiled with it.
#if defined(BUFFERS_ASAN)
inline constexpr bool address_sanitizer = true;
inline void poison(const volatile void* first, std::size_t bytes) noexcept {
  if (first != nullptr) __asan_poison_memory_region(first, bytes);
}
inline void unpoison(const volatile void* first, std::size_t bytes) noexcept {
  __asan_unpoison_memory_region(first, bytes);
}
inline void poison_unless_mixed(const volatile void* first, std::size_t bytes) noexcept {
  if (library_is_sanitized) poison(first, bytes);
}
#else
inline constexpr bool address_sanitizer = false;
inline void poison(const volatile void* first, std::size_t bytes) noexcept {
  if constexpr (hardened) poison_in_program(first, bytes);
}
inline void unpoison(const volatile void* first, std::size_t bytes) noexcept {
  if constexpr (hardened) unpoison_in_program(first, bytes);
}
/// For memory that the library's virtual functions hand out again: those of one that knows nothing of AddressSanitizer
/// would not say so.
inline void poison_unless_mixed(const volatile void* first, std::size_t bytes) noexcept { poison(first, bytes); }
#endif
/// For the library's own code, where it was compiled without AddressSanitizer: its virtual functions do not un-poison
/// the blocks that they hand out, so memory is un-poisoned before it gets to them.
inline void unpoison_if_mixed(const volatile void* first, std::size_t bytes) noexcept {
  if constexpr (!hardened && !address_sanitizer) unpoison_in_program(first, bytes);
}

/// AddressSanitizer's function in the running program; null when it does not watch.
extern void (*const asan_unpoison)(const volatile void* first, std::size_t bytes);
/// The same for virtual functions. They are compiled once, into the library, and call what was written for each
/// program.
[[nodiscard]] inline void* unpoisoned_in_virtual(void* first, std::size_t bytes) noexcept {
  if constexpr (!hardened && !address_sanitizer)
    if (asan_unpoison != nullptr) [[unlikely]]
      asan_unpoison(first, bytes);
  return first;
}
/// poison_in_program() for virtual functions, of a block that may be null.
inline void poison_in_virtual(const volatile void* first, std::size_t bytes) noexcept {
  if constexpr (!hardened && !address_sanitizer)
    if (asan_unpoison != nullptr && first != nullptr) [[unlikely]]
      poison_in_program(first, bytes);
}

/// Tells the processor that this thread is waiting in a loop.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/// As long as one lives, Valgrind lets this thread touch what nobody may touch.
class unwatched {
 public:
  inline unwatched() noexcept {
    if constexpr (hardened) begin();
  }
  inline ~unwatched() {
    if constexpr (hardened) end();
  }
  unwatched(const unwatched&) = delete;
  unwatched& operator=(const unwatched&) = delete;

 private:
  static void begin() noexcept;
  static void end() noexcept;
};

/// Whether somebody watches this program who has to know what nobody may touch.
[[nodiscard]] bool is_watched() noexcept;
/// Whether AddressSanitizer watches this program.
[[nodiscard]] bool is_sanitized() noexcept;
/// Whether it does, and holds this byte to be out of bounds.
[[nodiscard]] bool is_poisoned(const volatile void* byte) noexcept;

/// Whether floating-point numbers are divided as IEEE says: -ffast-math may multiply by a reciprocal instead.
#if defined(__RECIPROCAL_MATH__) || defined(__FAST_MATH__)
inline constexpr bool divides_exactly = false;
#else
inline constexpr bool divides_exactly = true;
#endif

/// The same pointer, but the optimiser no longer knows where it came from.
template <class T>
[[nodiscard]] inline T* launder_origin(T* pointer) noexcept {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

/// The same number, but where it is not a constant the optimiser no longer knows how it came about: it would work parts
/// of it out again for each use.
[[nodiscard, gnu::always_inline]] constexpr std::size_t worked_out(std::size_t number) noexcept {
  if (!__builtin_constant_p(number)) asm("" : "+r"(number));
  return number;
}

/// The same pointer, read by itself: compilers would read two that are neighbours at once, and then the processor waits
/// for the stores of both, if they are that fresh.
template <class T>
[[nodiscard, gnu::always_inline]] inline T* read_alone(T* pointer) noexcept {
  asm("" : "+r"(pointer));
  return pointer;
}

/// Stores so many bytes, in lines of 64 at multiples of 64, past the caches where the processor can. Other threads see
/// them in order after an instruction that only kernels have: kernels::stream_end().
void store_past_caches(void* to, const void* lines, std::size_t bytes) noexcept;

// What cannot be done at once is done one by one, without a word to whoever compiles it.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

/// f(i) for all i < count, in any order or at once: no f(i) touches what another one writes.
template <class F>
[[gnu::always_inline]] inline void for_each_independent(std::size_t count, F f) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
  for (std::size_t i = 0; i < count; ++i) f(i);
}

/// f(i) for all i < Times, by vectors where that can be: GCC unrolls short loops before it makes vectors of them.
template <std::size_t Times, class F>
[[gnu::always_inline]] inline void repeat(F f) {
#if !defined(__clang__)
#pragma GCC unroll 1
#endif
  for (std::size_t i = 0; i < Times; ++i) f(i);
}

/// condition ? a : b, of numbers. Of two such selections in a row GCC 16 makes jumps, and then no vectors.
template <class T>
[[nodiscard, gnu::always_inline]] constexpr T select(bool condition, T a, T b) noexcept {
#if !defined(__clang__)
  if constexpr (sizeof(T) <= 8) {
    using bits =
        std::conditional_t<sizeof(T) == 1, std::uint8_t,
                           std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                              std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
    const bits mask = static_cast<bits>(bits{0} - static_cast<bits>(condition));
    return __builtin_bit_cast(T, static_cast<bits>((__builtin_bit_cast(bits, a) & mask) |
                                                   (__builtin_bit_cast(bits, b) & static_cast<bits>(~mask))));
  }
#endif
  return condition ? a : b;
}

/// Runs a loop, in a program for any x86-64 with vectors of twice the size where the processor has them: without fused
/// multiply-adds, so that it comes to the same bits. Loop's `operator()` is always inlined.
template <class Loop>
[[gnu::noinline]] void run_portably(const Loop& loop) {
  loop();
}
#if defined(__x86_64__) && !defined(__AVX2__)
#if defined(__clang__)
template <class Loop>
[[gnu::noinline, gnu::target("avx2")]] void run_wide(const Loop& loop) {
  loop();
}
#else  // of a template that is imported, GCC 16 forgets a target that does not depend on the template's parameter
template <class Loop>
[[gnu::noinline, gnu::target((sizeof(Loop), "avx2"))]] void run_wide(const Loop& loop) {
  loop();
}
#endif
template <class Loop>
inline void run_loop(const Loop& loop) {
  __builtin_cpu_supports("avx2") ? run_wide(loop) : run_portably(loop);
}
#else
template <class Loop>
inline void run_loop(const Loop& loop) {
  run_portably(loop);
}
#endif

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

/// An object to make in memory at hand: `new (at) placed<T>{T(...)}`, of which the T has the same address. GCC looks
/// for the operator of `::new (at) T` where a template is used, and finds none in a program that does not include
/// <new>.
template <class T>
struct placed {
  T object;
  static void* operator new(std::size_t, void* at) noexcept { return at; }
  static void operator delete(void*, void*) noexcept {}
};

/// Writes zeros that somebody may look at, as far as the optimiser knows, even when the memory is freed right after.
inline void wipe(void* first, std::size_t bytes) noexcept {
  __builtin_memset(first, 0, bytes);
  asm volatile("" : : "r"(first) : "memory");
}

}  // namespace buffers::detail
