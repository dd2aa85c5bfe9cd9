// print_usage runs a function on its buffers and prints how many bytes each of them needs, and a function that works it
// out again: every call that was made, as a program for the compiler.
//
//     const auto work = [](auto& results, auto& scratch) {
//       auto a = buffers::alloc<double>(results, 10, 10, 20);
//       buffers::scope inner{scratch};
//       auto b = buffers::alloc<double>(scratch, 100);
//       a[0, 0, 0] = b[0] = 1;
//     };
//     buffers::slab_resource first, second;
//     buffers::print_usage(std::cout, work, first, second);
//
//     // The bytes that each buffer needs, as seen by buffers::print_usage:
//     //   buffer1          16000   (a slab_resource: peak 16000)
//     //   buffer2            800   (a slab_resource: peak 800)
//     constexpr auto bytes_needed() {
//       buffers::dry_run buffer1, buffer2;
//       const auto view1 = buffers::alloc<double>(buffer1, 10, 10, 20);
//       ...
//
//   operation     cost                     what it does
//   print_usage   f, and O(r²) per call    runs f; keeps what it calls on the heap; prints
//
// r: the calls in a round of a loop, for which it looks up to 1024.
//
// Threads: one at a time; f uses its buffers on the thread that it is called on.
module;
#include <concepts>
#include <cstddef>
#include <iosfwd>
#include <mdspan>
#include <memory_resource>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
export module buffers.usage:print_usage;
import buffers.core;
import buffers.resources;
import buffers.tensor;
import :dry_run;

namespace buffers::detail {

/// What the elements of a view are: the name is empty for a type that has none everywhere.
struct element_type {
  std::string_view name;
  std::size_t bytes, alignment;
  bool operator==(const element_type&) const = default;
};

template <class T>
consteval element_type element_of() {
  std::string_view name;
  if constexpr (std::is_same_v<T, bool>) name = "bool";
  if constexpr (std::is_same_v<T, char>) name = "char";
  if constexpr (std::is_same_v<T, signed char>) name = "signed char";
  if constexpr (std::is_same_v<T, unsigned char>) name = "unsigned char";
  if constexpr (std::is_same_v<T, short>) name = "short";
  if constexpr (std::is_same_v<T, unsigned short>) name = "unsigned short";
  if constexpr (std::is_same_v<T, int>) name = "int";
  if constexpr (std::is_same_v<T, unsigned>) name = "unsigned";
  if constexpr (std::is_same_v<T, long>) name = "long";
  if constexpr (std::is_same_v<T, unsigned long>) name = "unsigned long";
  if constexpr (std::is_same_v<T, long long>) name = "long long";
  if constexpr (std::is_same_v<T, unsigned long long>) name = "unsigned long long";
  if constexpr (std::is_same_v<T, float>) name = "float";
  if constexpr (std::is_same_v<T, double>) name = "double";
  if constexpr (std::is_same_v<T, long double>) name = "long double";
  return {name, sizeof(T), alignof(T)};
}

/// What a type of buffer is called.
template <class R>
consteval std::string_view buffer_name() {
  if constexpr (std::is_same_v<R, slab_resource>) return "a slab_resource";
  if constexpr (std::is_same_v<R, bump_resource>) return "a bump_resource";
  if constexpr (std::is_same_v<R, dry_run>) return "a dry_run";
  return "another resource";
}

/// Of a buffer, once f has run.
struct buffer_usage {
  std::string_view name;
  bool has_peak = false;
  std::size_t used_before = 0, peak = 0;
};

/// The calls that were made of some buffers, which are numbered from 0.
class call_log {
 public:
  explicit call_log(std::size_t buffers);
  call_log(const call_log&) = delete;
  call_log& operator=(const call_log&) = delete;
  ~call_log();

  void allocated(std::size_t buffer, const void* at, std::size_t bytes, std::size_t alignment);
  void allocated_view(std::size_t buffer, const void* at, const element_type& type, std::size_t alignment,
                      std::span<const std::size_t> dims);
  void reshaped(std::size_t buffer, const element_type& type, std::size_t offset, std::span<const std::size_t> dims);
  void deallocated(std::size_t buffer, const void* at, std::size_t bytes);
  void dropped(std::size_t buffer, std::span<const std::span<const std::byte>> blocks);
  void resized(std::size_t buffer, const void* at, std::size_t old_bytes, std::size_t new_bytes);
  /// Returns the number of the checkpoint or scope.
  std::size_t checkpoint(std::size_t buffer);
  void restored(std::size_t buffer, std::size_t checkpoint);
  std::size_t opened(std::size_t buffer);
  void closed(std::size_t buffer, std::size_t scope);
  void reset(std::size_t buffer);
  void reset_peak(std::size_t buffer);

  /// Works out what each buffer needs, and prints it and the program.
  void print(std::ostream& os, std::span<const buffer_usage> buffers) const;

 private:
  struct state;
  state* state_;
};

void print_peaks(std::ostream& os, std::span<const buffer_usage> buffers);

/// Stands in front of a buffer and writes down what it is asked for.
template <byte_source R>
class recorder final : public std::pmr::memory_resource {
 public:
  recorder(R& of, call_log& log, std::size_t number) noexcept : of_(of), log_(log), number_(number) {}
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    void* const block = of_.allocate(bytes, alignment);
    log_.allocated(number_, block, bytes, alignment);
    return block;
  }
  [[nodiscard]] void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t))
    requires requires(R& r) { r.try_allocate(bytes, alignment); }
  {
    void* const block = of_.try_allocate(bytes, alignment);
    if (block != nullptr) log_.allocated(number_, block, bytes, alignment);
    return block;
  }
  void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    of_.deallocate(block, bytes, alignment);
    log_.deallocated(number_, block, bytes);
  }
  [[nodiscard]] bool try_expand(void* block, std::size_t old_bytes, std::size_t new_bytes)
    requires requires(R& r) { r.try_expand(block, old_bytes, new_bytes); }
  {
    const bool done = of_.try_expand(block, old_bytes, new_bytes);
    if (done) log_.resized(number_, block, old_bytes, new_bytes);
    return done;
  }
  bool shrink(void* block, std::size_t old_bytes, std::size_t new_bytes)
    requires requires(R& r) { r.shrink(block, old_bytes, new_bytes); }
  {
    const bool done = of_.shrink(block, old_bytes, new_bytes);
    if (done) log_.resized(number_, block, old_bytes, new_bytes);
    return done;
  }

  class checkpoint_type {
    friend recorder;
    using type = decltype(std::declval<R&>().checkpoint());
    checkpoint_type(type cp, std::size_t n) : of(std::move(cp)), number(n) {}
    type of;
    std::size_t number;
  };
  [[nodiscard]] checkpoint_type checkpoint()
    requires checkpointable<R>
  {
    auto of = of_.checkpoint();
    return {std::move(of), log_.checkpoint(number_)};
  }
  void restore(const checkpoint_type& cp)
    requires checkpointable<R>
  {
    of_.restore(cp.of);
    log_.restored(number_, cp.number);
  }

  void reset()
    requires requires(R& r) { r.reset(); }
  {
    of_.reset();
    log_.reset(number_);
  }
  void release()
    requires requires(R& r) { r.release(); }
  {
    of_.release();
    log_.reset(number_);
  }
  std::size_t trim(std::size_t keep_bytes)
    requires requires(R& r) { r.trim(keep_bytes); }
  {
    return of_.trim(keep_bytes);
  }
  [[nodiscard]] std::size_t used() const
    requires requires(const R& r) { r.used(); }
  {
    return of_.used();
  }
  [[nodiscard]] std::size_t peak() const
    requires requires(const R& r) { r.peak(); }
  {
    return of_.peak();
  }
  void reset_peak()
    requires requires(R& r) { r.reset_peak(); }
  {
    of_.reset_peak();
    log_.reset_peak(number_);
  }
  [[nodiscard]] std::size_t capacity() const
    requires requires(const R& r) { r.capacity(); }
  {
    return of_.capacity();
  }
  [[nodiscard]] bool owns(const void* byte) const
    requires requires(const R& r) { r.owns(byte); }
  {
    return of_.owns(byte);
  }
  [[nodiscard]] bool extendable() const
    requires requires(const R& r) { r.extendable(); }
  {
    return of_.extendable();
  }
  void set_extendable(bool extendable = true)
    requires requires(R& r) { r.set_extendable(extendable); }
  {
    of_.set_extendable(extendable);
  }
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const
    requires requires(const R& r) { r.upstream_resource(); }
  {
    return of_.upstream_resource();
  }

  template <class T, class Layout, class Extents>
  [[nodiscard]] auto view_of_new(std::size_t, std::size_t align, const Extents& extents) {
    const auto view = alloc<T, Layout>(of_, alignment{align}, extents);
    const dims_of<Extents> dims(extents);
    log_.allocated_view(number_, view.data_handle(), element_of<T>(), align, dims.all());
    return view;
  }
  template <class T, class Layout, class Extents>
  [[nodiscard]] auto view_of_reshaped(std::size_t before, std::size_t, const Extents& extents) {
    const dims_of<Extents> dims(extents);
    const auto view = [&]<std::size_t... D>(std::index_sequence<D...>) {
      return reshape_buffer_at<T, Layout>(of_, before / sizeof(T), dims.each[D]...);
    }(std::make_index_sequence<Extents::rank()>());
    log_.reshaped(number_, element_of<T>(), before / sizeof(T), dims.all());
    return view;
  }
  template <class... Views>
  void drop_views(std::size_t align, const Views&... views) {
    const std::span<const std::byte> blocks[] = {bytes_of_view(views)..., {}};
    drop(of_, alignment{align}, views...);
    log_.dropped(number_, std::span(blocks, sizeof...(Views)));
  }

  struct scope_mark {
    std::optional<scope<R>> of;
    std::size_t number;
  };
  void open_scope(scope_mark& opened)
    requires checkpointable<R>
  {
    opened.of.emplace(of_);
    opened.number = log_.opened(number_);
  }
  void close_scope(scope_mark& opened)
    requires checkpointable<R>
  {
    opened.of.reset();
    log_.closed(number_, opened.number);
  }

 private:
  template <class Extents>
  struct dims_of {
    explicit dims_of(const Extents& extents) {
      for (std::size_t d = 0; d < Extents::rank(); ++d) each[d] = static_cast<std::size_t>(extents.extent(d));
    }
    std::span<const std::size_t> all() const { return {each, Extents::rank()}; }
    std::size_t each[Extents::rank() + 1] = {};
  };
  template <class View>
  static std::span<const std::byte> bytes_of_view(const View& view) {
    if constexpr (requires { view.data_handle(); })
      return std::as_bytes(std::span(view.data_handle(), view.mapping().required_span_size()));
    else
      return std::as_bytes(view);
  }

  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return allocate(bytes, alignment); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  R& of_;
  call_log& log_;
  std::size_t number_;
};

template <class R>
buffer_usage usage_before(R& buffer) {
  buffer_usage usage{.name = buffer_name<R>()};
  if constexpr (requires { buffer.used(); }) usage.used_before = buffer.used();
  if constexpr (requires { buffer.reset_peak(); }) buffer.reset_peak();
  return usage;
}
template <class R>
void note_peak(buffer_usage& usage, const R& buffer) {
  if constexpr (requires { buffer.peak(); }) {
    usage.has_peak = true;
    usage.peak = buffer.peak();
  }
}

}  // namespace buffers::detail

namespace buffers {
template <class R>
  requires std::is_same_v<std::remove_cvref_t<R>, detail::recorder<dry_run>>
inline constexpr bool is_dry_run<R> = true;
}  // namespace buffers

export namespace buffers {

/// Calls `f(buffers...)` and prints, as C++ that compiles, how many bytes each buffer needs: what a bump_resource of
/// its own would need, and the buffer's own peak(), which may differ where blocks lie in several slabs. Then a
/// function, bytes_needed(), that works the same numbers out of the shapes: the calls that f made, rounds of a loop
/// folded into one. For several buffers it returns a struct of them.
///
/// A call that a single contiguous buffer could not serve in place, such as one that grows a block in an older slab,
/// counts as a new allocation.
///
/// f is called with something that stands in front of each buffer and is a std::pmr::memory_resource. Of the buffer's
/// functions it has allocate, try_allocate, deallocate, try_expand, shrink, checkpoint, restore, reset, release, trim,
/// used, peak, reset_peak, capacity, owns, extendable, set_extendable and upstream_resource, and alloc, drop,
/// reshape_buffer and scope work on it. An f that needs others, such as a pool_resource's get and put or a
/// thread_resource's local and lease, takes the buffers by their own types. It is called with the buffers themselves,
/// as is every f that does not take what stands in front of them: then only their peaks are known. The peak() of each
/// buffer begins anew. Throws what f throws, and prints nothing then.
template <class F, byte_source... Buffers>
  requires(sizeof...(Buffers) > 0 &&
           (std::invocable<F&, detail::recorder<Buffers>&...> || std::invocable<F&, Buffers&...>))
void print_usage(std::ostream& os, F&& f, Buffers&... buffers) {
  detail::buffer_usage usage[] = {detail::usage_before(buffers)...};
  const auto note_peaks = [&] {
    std::size_t number = 0;
    (detail::note_peak(usage[number++], buffers), ...);
  };
  if constexpr (std::invocable<F&, detail::recorder<Buffers>&...>) {
    detail::call_log log(sizeof...(Buffers));
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      const auto run = [&](auto&&... recorders) { static_cast<void>(f(recorders...)); };
      run(detail::recorder<Buffers>(buffers, log, I)...);
    }(std::index_sequence_for<Buffers...>());
    note_peaks();
    log.print(os, usage);
  } else {
    static_cast<void>(f(buffers...));
    note_peaks();
    detail::print_peaks(os, usage);
  }
}

}  // namespace buffers
