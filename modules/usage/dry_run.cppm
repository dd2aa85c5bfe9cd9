// dry_run stands in for a buffer in generic code and counts: it has no memory, and says afterwards how many bytes a
// buffer needs. peak_bytes runs a function on one, at compile time as well.
//
//     f(buffer, dims...)  ─▶  dry_run         counts                 ─▶  n = peak_bytes(f, dims...)
//                         ─▶  bump_resource   of n bytes: suffices; of n - 1: does not
//
//   operation                           cost   what it does
//   allocate, try_allocate, deallocate, O(1)   moves an end that is a number
//   try_expand, shrink, checkpoint,
//   restore, reset, release, used,
//   peak, reset_peak
//   trim                                O(1)   nothing
//   drop, out of order                  O(k)   among k such blocks not yet reclaimed
//   peak_bytes                          f      runs f
//
// alloc, alloc_bytes, drop, reshape_buffer and scope work on it. What a bump_resource has besides is about its memory
// (capacity, owns, upstream_resource): f asks for that under `if constexpr (!is_dry_run<...>)`.
//
// Threads: one at a time.
//
//     constexpr auto outer = [](auto& buffer, std::size_t n) {
//       auto a = buffers::alloc<double>(buffer, n, n);
//       a[0, 0] = 1;
//     };
//     buffers::bump_resource exact{buffers::peak_bytes(outer, 100uz)};
//     outer(exact, 100);
//
//     alignas(64) static std::byte storage[buffers::peak_bytes(outer, 20uz)];   // by the compiler
//     buffers::bump_resource fixed{std::span{storage}};
//
// f is compiled for the dry_run as it is for the real buffer, and every branch and loop runs as it would. Its views can
// be read and written by index; all their elements are one and the same, which begins as zeros, so that what f
// allocates must not depend on what it calculated. Their pointers (data_handle(), and the span of alloc_bytes) lead
// nowhere: to follow one ends the program, or is an error of the compiler. `is_dry_run` tells f to leave such work out,
// or work that takes the compiler too many steps.
//
// It cannot be a std::pmr::memory_resource and work at compile time, so std::pmr containers do not allocate from it.
// What they need is seen at run time: by the peak() of the buffer that they allocate from, or a meter_resource.
module;
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mdspan>
#include <span>
#include <type_traits>
#include <utility>
export module buffers.usage:dry_run;
import buffers.core;
import buffers.resources;
import buffers.tensor;

namespace buffers::detail {

/// A list whose first N elements need no memory.
template <class T, std::size_t N>
class short_list {
 public:
  constexpr short_list() = default;
  short_list(const short_list&) = delete;
  short_list& operator=(const short_list&) = delete;
  constexpr ~short_list() {
    if (items_ != here_) delete[] items_;
  }

  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr T& operator[](std::size_t i) noexcept { return items_[i]; }
  [[nodiscard]] constexpr const T& operator[](std::size_t i) const noexcept { return items_[i]; }
  [[nodiscard]] constexpr T& back() noexcept { return items_[size_ - 1]; }
  constexpr void pop_back() noexcept { --size_; }
  constexpr void clear() noexcept { size_ = 0; }
  constexpr void reserve_one_more() {
    if (size_ < room_) return;
    T* const more = new T[2 * room_];
    for (std::size_t i = 0; i < size_; ++i) more[i] = items_[i];
    if (items_ != here_) delete[] items_;
    items_ = more;
    room_ *= 2;
  }
  /// After a reserve_one_more(), nothing can fail.
  constexpr void insert(std::size_t at, const T& item) {
    reserve_one_more();
    // NOLINTBEGIN(clang-analyzer-security.ArrayBound): there is room for one more
    for (std::size_t i = size_; i > at; --i) items_[i] = items_[i - 1];
    items_[at] = item;
    // NOLINTEND(clang-analyzer-security.ArrayBound)
    ++size_;
  }
  constexpr void push_back(const T& item) { insert(size_, item); }

 private:
  T here_[N] = {};
  T* items_ = here_;
  std::size_t size_ = 0, room_ = N;
};

/// One element, for all of a view that has no memory.
template <class T>
[[nodiscard]] T* the_one_element() noexcept {
  alignas(T) static constinit thread_local std::byte memory[sizeof(T)] = {};
  return reinterpret_cast<T*>(memory);
}

/// Access to the elements of a view that has no memory: they are all one. The view converts to one with pointers.
template <class T>
struct dry_accessor {
  using offset_policy = dry_accessor;
  using element_type = T;
  using reference = T&;
  using data_handle_type = T*;

  T* element = nullptr;

  [[nodiscard]] constexpr reference access(data_handle_type, std::size_t) const noexcept { return *element; }
  [[nodiscard]] constexpr data_handle_type offset(data_handle_type at, std::size_t) const noexcept { return at; }
  template <class U>
    requires std::is_convertible_v<T (*)[], U (*)[]>
  constexpr operator std::default_accessor<U>() const noexcept {
    return {};
  }
};

/// What makes a pointer distinct when the compiler runs the program: there, a number is no address.
struct token {
  constexpr virtual ~token() = default;
};
template <class T>
struct token_of final : token {
  union {
    char none;
    T element;
  };
  constexpr token_of()
    requires std::is_default_constructible_v<T>
      : element() {}
  constexpr token_of() : none() {}
};

}  // namespace buffers::detail

export namespace buffers {

/// A buffer without memory, which counts as a bump_resource does: blocks, views, scopes, checkpoints and errors are as
/// there, and peak() is the capacity that the bump_resource needs. It is never full.
///
/// It has room of its own for 31 gaps below the newest block (padding, and blocks that are dropped out of order and
/// wait for younger ones), and for 7 different places of blocks that are stricter than the buffer since the last reset.
/// What it has to remember of more is from operator new.
class dry_run {
 public:
  /// For a buffer whose memory begins at a multiple of `base_alignment`, which is a power of two: 64 is that of
  /// `bump_resource(bytes)`. A block with a stricter alignment counts with the padding that the worst such place needs:
  /// peak() suffices everywhere and is not too much there, as long as nothing from before an open scope or a checkpoint
  /// is given back and then gone back to, and no block grows in place.
  constexpr explicit dry_run(alignment base = {bump_resource::base_alignment}) : base_(base.bytes) {
    detail::require_alignment(base.bytes);
    guesses_.push_back({0, 0, lowest - 1, base_ > detail::granule ? base_ : detail::granule});
    now_ = guesses_.back();
  }
  dry_run(const dry_run&) = delete;
  dry_run& operator=(const dry_run&) = delete;
  constexpr ~dry_run() {
    for (; !tokens_.empty(); tokens_.pop_back()) delete tokens_.back().made;
  }

  /// An address that is aligned, like no other, and of no memory.
  /// Throws: bad_alloc when there cannot be as many bytes; invalid_argument when alignment is no power of two;
  /// order_error while the buffer is reshaped.
  [[nodiscard]] constexpr void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    return pointer_to<std::byte>(take(bytes, alignment)).at;
  }
  /// The same: it is never full.
  [[nodiscard]] constexpr void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    return allocate(bytes, alignment);
  }
  /// Gives the block back when it is the newest. Null is ignored.
  constexpr void deallocate(const void* block, std::size_t bytes, std::size_t = alignof(std::max_align_t)) noexcept {
    if (block == nullptr || bytes == 0) return;
    const std::uintptr_t first = address_of(block);
    if (!detail::is_newest(first, bytes, top_)) return;
    fall_to(first - 1);
    reclaim();
  }
  /// Makes the newest block longer; false, and nothing done, when it is not the newest, or is older than an open scope
  /// or the last checkpoint.
  [[nodiscard]] constexpr bool try_expand(const void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    const std::uintptr_t first = address_of(block);
    if (first <= grows_after_ || first <= floor() || !detail::is_newest(first, old_bytes, top_)) return false;
    if (new_bytes < old_bytes || new_bytes > detail::largest_request - (first - 1 - now_.zero)) return false;
    if (const std::uintptr_t end = first + new_bytes - 1; end > top_) rise_to(end);
    return true;
  }
  /// Makes the newest block shorter; false, and nothing done, when it is not the newest. Not to 0 bytes.
  constexpr bool shrink(const void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    const std::uintptr_t first = address_of(block);
    if (!detail::is_newest(first, old_bytes, top_) || new_bytes > old_bytes || new_bytes == 0) return false;
    fall_to(first + new_bytes - 1);
    return true;
  }

  /// Gives back one block, as buffers::drop does a view.
  constexpr void drop(const void* block, std::size_t bytes) {
    const memory_block dropped{address_of(block), bytes};
    drop_all(&dropped, 1);
  }

  /// A moment to go back to.
  class checkpoint_type {
    friend dry_run;
    const dry_run* owner;
    std::uint64_t serial;
    std::uintptr_t top;
    std::size_t guess;
    bool reshaped;
  };
  [[nodiscard]] constexpr checkpoint_type checkpoint() noexcept {
    checkpoint_type cp;
    cp.owner = this;
    cp.serial = ++history_.newest;
    note(cp);
    grows_after_ = top_;
    return cp;
  }
  /// Gives back all that was allocated after the checkpoint, which can be restored again.
  /// Throws order_error as bump_resource does.
  constexpr void restore(const checkpoint_type& cp) {
    if (cp.owner != this) detail::throw_others_checkpoint();
    history_.require_since_reset(cp.serial);
    if (open_ != nullptr && cp.serial <= open_->serial) detail::throw_scope_is_younger();
    history_.require_alive(cp.serial);
    go_back(cp);
    grows_after_ = top_;
  }

  /// Forgets all blocks; the peak stays. Throws order_error while a scope is open.
  constexpr void reset() {
    if (open_ != nullptr) detail::throw_scope_is_open();
    history_.reset();
    reshaped_ = false;
    holes_.clear();
    fall_to(lowest - 1);
    while (guesses_.size() > 1) guesses_.pop_back();
    grows_after_ = 0;
  }
  /// As reset().
  constexpr void release() { reset(); }
  /// There is no memory to give back: 0. It counts as over storage, where a restore() brings back into use what was so
  /// at the checkpoint; in a buffer that has given its memory back, nothing is.
  constexpr std::size_t trim(std::size_t) noexcept { return 0; }

  /// The bytes from the start of the buffer to the end of the newest block, padding included.
  [[nodiscard]] constexpr std::size_t used() const noexcept { return reshaped_ ? 0 : top_ - now_.zero; }
  /// The capacity that a buffer needs for all that was done since construction or reset_peak(): the greatest used(), or
  /// what it was reshaped to, and what is lost before the first multiple of 16.
  [[nodiscard]] constexpr std::size_t peak() const noexcept {
    return peak_ == 0 || base_ >= detail::granule ? peak_ : peak_ + (detail::granule - base_);
  }
  constexpr void reset_peak() noexcept { peak_ = used(); }

  /// What alloc, reshape_buffer and drop are made of: use those instead.
  template <class T, class Layout, class Extents>
  [[nodiscard]] constexpr auto view_of_new(std::size_t bytes, std::size_t alignment, const Extents& extents) {
    return view_at<T, Layout>(take(bytes, alignment), extents);
  }
  template <class T, class Layout, class Extents>
  [[nodiscard]] constexpr auto view_of_reshaped(std::size_t before, std::size_t bytes, const Extents& extents) {
    if (!reshaped_ && used() != 0) detail::throw_reshape_of_a_used_buffer();
    if (!reshaped_) ++history_.newest;
    reshaped_ = true;
    peak_ = bytes > peak_ ? bytes : peak_;
    return view_at<T, Layout>(lowest + before, extents);
  }
  template <class... Views>
  constexpr void drop_views(std::size_t, const Views&... views) {
    const memory_block blocks[] = {block_of(views)..., {}};
    drop_all(blocks, sizeof...(Views));
  }

  /// What `scope` is made of: use that instead.
  class scope_mark : checkpoint_type {
    friend dry_run;
    scope_mark* outer;
  };
  constexpr void open_scope(scope_mark& opened) noexcept {
    opened.serial = history_.newest;
    note(opened);
    opened.outer = open_;
    open_ = &opened;
  }
  constexpr void close_scope(scope_mark& opened) noexcept {
    const scope_mark* inner = open_;
    while (inner != nullptr && inner != &opened) inner = inner->outer;
    if (inner == nullptr) return;  // one outside ended before it
    open_ = opened.outer;
    const bool may_have_checkpoints = history_.newest != opened.serial;  // which are gone now
    go_back(opened);
    if (may_have_checkpoints && grows_after_ > top_) grows_after_ = top_;
  }

 private:
  struct memory_block {
    std::uintptr_t first = 0;
    std::size_t bytes = 0;
    constexpr std::uintptr_t last() const noexcept { return first + bytes - 1; }
  };
  // What is known of the distance to the beginning: at worst, after a block that is stricter than what was known before
  // it. Checkpoints refer to guesses, so that they are kept until the next reset.
  struct guess {
    std::size_t before = 0;      // the guess that it is made on
    std::uintptr_t padding = 0;  // where the padding before that block begins
    std::uintptr_t zero = 0;     // top_ - zero bytes are in use
    std::size_t known = 0;       // what the beginning, or that block, is a multiple of
    constexpr bool operator==(const guess&) const = default;
  };
  struct named_token {
    const void* at = nullptr;
    std::uintptr_t address = 0;
    detail::token* made = nullptr;
  };
  template <class T>
  struct pointer {
    T* at;
    T* element;
  };

  // The addresses begin where no processor lets a program touch anything, at a multiple of every alignment up to this.
  static constexpr std::uintptr_t lowest = std::uintptr_t{1} << 62;

  constexpr std::uintptr_t floor() const noexcept { return open_ != nullptr ? open_->top : 0; }

  // The address of a new block.
  constexpr std::uintptr_t take(std::size_t bytes, std::size_t alignment) {
    detail::require_alignment(alignment);
    if (reshaped_) detail::throw_reshaped_until_reset();
    if (bytes == 0) return alignment > detail::granule ? alignment : detail::granule;
    const std::uintptr_t end = detail::granule_end(top_);
    if (alignment > lowest || bytes > detail::largest_request - (end - now_.zero)) detail::throw_bad_alloc();
    const std::uintptr_t before = end | (alignment - 1);
    const std::size_t padding =
        alignment <= now_.known ? before - end : (end | (now_.known - 1)) - end + (alignment - now_.known);  // at worst
    if (padding > detail::largest_request - (end - now_.zero) - bytes) detail::throw_bad_alloc();
    holes_.reserve_one_more();
    if (alignment > now_.known) make_guess({guess_, end + 1, now_.zero + (before - end) - padding, alignment});
    if (alignment > detail::granule) ++history_.newest;  // as if there were padding, which depends on the place
    if (before != end) holes_.push_back({end + 1, before - end});
    rise_to(before + bytes);
    return before + 1;
  }

  constexpr void rise_to(std::uintptr_t top) noexcept {
    top_ = top;
    const std::size_t use = top_ - now_.zero;
    peak_ = use > peak_ ? use : peak_;
  }
  constexpr void fall_to(std::uintptr_t top) noexcept {
    top_ = top;
    while (now_.padding > top_) take_guess(now_.before);
    forget_tokens();
  }
  constexpr void take_guess(std::size_t number) noexcept {
    guess_ = number;
    now_ = guesses_[number];
  }
  constexpr void make_guess(const guess& made) {
    // A loop makes the same ones again and again.
    std::size_t i = guesses_.size();
    while (i > 0 && guesses_.size() - i < 16 && guesses_[i - 1] != made) --i;
    if (i == 0 || guesses_[i - 1] != made) {
      guesses_.push_back(made);
      i = guesses_.size();
    }
    take_guess(i - 1);
  }
  constexpr void forget_tokens() noexcept {
    for (; !tokens_.empty() && tokens_.back().address > top_; tokens_.pop_back()) delete tokens_.back().made;
  }

  constexpr bool is_live(const memory_block& b) const noexcept {
    if (b.first < lowest || b.first > top_ || b.last() > top_ || b.last() < b.first) return false;
    for (std::size_t i = 0; i < holes_.size(); ++i)
      if (b.last() >= holes_[i].first && b.first <= holes_[i].last()) return false;
    return true;
  }
  constexpr void drop_all(const memory_block* blocks, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (blocks[i].bytes == 0) continue;
      if (reshaped_ || !is_live(blocks[i])) detail::throw_not_live();
      for (std::size_t j = 0; j < i; ++j)
        if (blocks[j].bytes != 0 && blocks[i].first <= blocks[j].last() && blocks[j].first <= blocks[i].last())
          detail::throw_not_live();
    }
    ++history_.newest;
    for (std::size_t i = 0; i < count; ++i)
      if (blocks[i].bytes != 0) drop(blocks[i]);
  }
  constexpr void drop(const memory_block& b) {
    if (detail::is_newest(b.first, b.bytes, top_) && b.first > floor()) {
      fall_to(b.first - 1);
      reclaim();
      return;
    }
    std::size_t at = holes_.size();
    while (at > 0 && holes_[at - 1].first > b.first) --at;
    holes_.insert(at, {b.first, detail::granule_end(b.last()) - (b.first - 1)});
  }
  // Lowers the end past the holes that have come to lie there, down to the innermost scope.
  constexpr void reclaim() noexcept {
    while (!holes_.empty() && holes_.back().first > floor() && holes_.back().last() == detail::granule_end(top_)) {
      const std::uintptr_t first = holes_.back().first;
      holes_.pop_back();
      fall_to(first - 1);
    }
  }

  constexpr void note(checkpoint_type& cp) const noexcept {
    cp.top = top_;
    cp.guess = guess_;
    cp.reshaped = reshaped_;
  }
  constexpr void go_back(const checkpoint_type& cp) noexcept {
    history_.went_back_to(cp.serial);
    reshaped_ = cp.reshaped;
    top_ = cp.top;
    take_guess(cp.guess);
    forget_tokens();
    while (!holes_.empty() && holes_.back().first > top_) holes_.pop_back();
    // Padding that began where a block from before the checkpoint had been given back.
    if (!holes_.empty() && holes_.back().last() > detail::granule_end(top_))
      holes_.back().bytes = detail::granule_end(top_) - (holes_.back().first - 1);
    reclaim();
    peak_ = used() > peak_ ? used() : peak_;  // what had been given back is in use again
  }

  template <class T>
  constexpr pointer<T> pointer_to(std::uintptr_t address) {
    if consteval {
      tokens_.reserve_one_more();
      auto* const made = new detail::token_of<T>;
      tokens_.push_back({&made->element, address, made});
      return {&made->element, &made->element};
    } else {
      return {reinterpret_cast<T*>(address), detail::the_one_element<T>()};
    }
  }
  constexpr std::uintptr_t address_of(const void* block) const noexcept {
    if consteval {
      for (std::size_t i = tokens_.size(); i > 0; --i)
        if (tokens_[i - 1].at == block) return tokens_[i - 1].address;
      return 0;
    } else {
      return reinterpret_cast<std::uintptr_t>(block);
    }
  }
  template <class T, class Layout, class Extents>
  constexpr auto view_at(std::uintptr_t address, const Extents& extents) {
    const pointer<T> p = pointer_to<T>(address);
    using view = std::mdspan<T, Extents, Layout, detail::dry_accessor<T>>;
    return view(p.at, typename view::mapping_type(extents), detail::dry_accessor<T>{p.element});
  }
  template <class T, class Extents, class Layout, class Accessor>
  constexpr memory_block block_of(const std::mdspan<T, Extents, Layout, Accessor>& view) const noexcept {
    return {address_of(view.data_handle()), view.mapping().required_span_size() * sizeof(T)};
  }
  template <class T, std::size_t N>
  constexpr memory_block block_of(std::span<T, N> view) const noexcept {
    return {address_of(view.data()), view.size_bytes()};
  }

  std::size_t base_;
  std::uintptr_t top_ = lowest - 1;
  guess now_;
  std::size_t guess_ = 0;  // the number of that
  std::uintptr_t grows_after_ = 0;
  std::size_t peak_ = 0;
  bool reshaped_ = false;
  scope_mark* open_ = nullptr;
  detail::serial_history history_{0};
  detail::short_list<memory_block, 32> holes_;  // upwards
  detail::short_list<guess, 8> guesses_;
  detail::short_list<named_token, 1> tokens_;  // of programs that the compiler runs
};

static_assert(checkpointable<dry_run>);

/// Whether what a function is given as a buffer has no memory, for what it can only do with memory, or need not do to
/// be counted: `if constexpr (!is_dry_run<decltype(buffer)>) dgemm(...)`.
template <class Buffer>
inline constexpr bool is_dry_run = std::is_same_v<std::remove_cvref_t<Buffer>, dry_run>;

// It has no memory for the elements of a container.
template <class T>
class allocator<T, dry_run>;

/// The bytes that a bump_resource(bytes) needs for `f(buffer, args...)`: one of this size suffices, and one byte less
/// does not, or not everywhere in memory when f aligns blocks to more than 64. Runs f on a dry_run. So does a
/// bump_resource over storage of this size that is aligned to bump_resource::base_alignment (64), and a slab_resource
/// with this first_slab has room for it in one slab. It may be too little for an f that aligns blocks to more than the
/// buffer is, and also makes a block grow in place, or gives one back that is older than a checkpoint or an open scope
/// and then goes back to that: what is free at the end then depends on where the memory lies. An f that calls trim()
/// and then restores a checkpoint of when more was in use may need less, except over storage. Throws what f throws.
template <class F, class... Args>
  requires std::invocable<F, dry_run&, Args...>
[[nodiscard]] constexpr std::size_t peak_bytes(F&& f, Args&&... args) {
  dry_run buffer;
  static_cast<void>(std::forward<F>(f)(buffer, std::forward<Args>(args)...));
  return buffer.peak();
}
/// ... over storage that is aligned to `base.bytes` bytes, with the same exception for stricter blocks.
template <class F, class... Args>
  requires std::invocable<F, dry_run&, Args...>
[[nodiscard]] constexpr std::size_t peak_bytes(alignment base, F&& f, Args&&... args) {
  dry_run buffer{base};
  static_cast<void>(std::forward<F>(f)(buffer, std::forward<Args>(args)...));
  return buffer.peak();
}

}  // namespace buffers
