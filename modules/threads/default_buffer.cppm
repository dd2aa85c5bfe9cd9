// Each thread has a default buffer, made when it is first asked for; with_default puts another in its place for the
// time of a call.
//
//     thread 1   default_buffer() ──▶ the thread's own slab
//     thread 2   default_buffer() ──▶ the thread's own slab
//                in with_default(b, f) ──▶ b
//
//   operation        cost   what it does
//   default_buffer   O(1)   this thread's buffer of that type
//   with_default     O(1)   another buffer as the default, inside a call
//   no_escape(f)     O(1)   a call in a scope of the default slab_resource
//
// Threads: each has its own; nothing is shared.
//
//     const auto median = [](std::span<const double> x) {
//       return buffers::no_escape([&](auto& buffer) {        // this thread's default buffer
//         std::pmr::vector<double> y(x.begin(), x.end(), &buffer);
//         std::ranges::sort(y);
//         return y[y.size() / 2];
//       });
//     };
//     assert(median(std::array{3.0, 1.0, 2.0}) == 2);
module;
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
export module buffers.threads:default_buffer;
import buffers.resources;
import :thread_end;

namespace buffers::detail {

/// The default of a thread, for one type of buffer.
template <class R>
struct thread_default {
  /// What default_buffer() returns; null before the first call, and again when the thread's own one is destroyed.
  static R*& current() noexcept {
    static constinit thread_local R* buffer = nullptr;
    return buffer;
  }
  [[gnu::cold, gnu::noinline]] static R& make() {
    R* const made = &(new (memory()) placed<R>{R()})->object;
    static constinit thread_local thread_end destroy{[]() noexcept {
      current() = nullptr;
      static_cast<R*>(memory())->~R();
    }};
    try {
      at_thread_end(destroy);
    } catch (...) {
      made->~R();
      throw;
    }
    return *(current() = made);
  }

 private:
  // Not a variable of type R: the destructors of other thread_local variables may still use it.
  static void* memory() noexcept {
    alignas(R) static constinit thread_local std::byte bytes[sizeof(R)] = {};
    return bytes;
  }
};

template <class R>
class replaced_default {
 public:
  explicit replaced_default(R& buffer) noexcept : before_(std::exchange(thread_default<R>::current(), &buffer)) {}
  replaced_default(const replaced_default&) = delete;
  replaced_default& operator=(const replaced_default&) = delete;
  ~replaced_default() { thread_default<R>::current() = before_; }

 private:
  R* before_;
};

}  // namespace buffers::detail

export namespace buffers {

/// This thread's default buffer of type R, made on first use and destroyed when the thread ends, after all its
/// thread_local variables; the main thread's is there until the process ends. The same object at each call in one
/// thread, another in each thread. Throws: what R's constructor throws; bad_alloc when the system has no thread key
/// left.
template <checkpointable R = slab_resource>
  requires std::default_initializable<R>
[[nodiscard]] inline R& default_buffer() {
  if (R* const buffer = detail::thread_default<R>::current()) [[likely]]
    return *buffer;
  return detail::thread_default<R>::make();
}

/// Calls f with `buffer` as this thread's default for its type, and puts the one from before back when f returns or
/// throws. Defaults of other types stay. f takes the buffer, or nothing; where it takes either, it gets the buffer.
/// Returns f's value.
template <checkpointable R, class F>
  requires std::invocable<F> || std::invocable<F, R&>
inline decltype(auto) with_default(R& buffer, F&& f) {
  const detail::replaced_default<R> replaced{buffer};
  if constexpr (std::invocable<F, R&>)
    return std::forward<F>(f)(buffer);
  else
    return std::forward<F>(f)();
}

/// no_escape with this thread's default slab_resource.
template <class F>
  requires((std::invocable<F, slab_resource&> || std::invocable<F>) &&
           may_leave_a_scope<detail::result_with<F, slab_resource>>)
inline detail::result_with<F, slab_resource> no_escape(F&& f) {
  return no_escape(default_buffer(), std::forward<F>(f));
}

}  // namespace buffers
