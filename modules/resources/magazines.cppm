// The free blocks of a pool that are next, of each size class, in front of the block store.
//
// For one thread; where Counter is a relaxed_counter, others may read the counts.
module;
#include <cstddef>
#include <cstdint>
#include <utility>
export module buffers.resources:magazines;
import buffers.core;
import buffers.std;
import :block_store;
import :size_classes;

export namespace buffers::detail {

/// A number that one thread counts and others may look at.
class relaxed_counter {
 public:
  inline relaxed_counter& operator=(std::int64_t value) noexcept {
    __atomic_store_n(&value_, value, __ATOMIC_RELAXED);
    return *this;
  }
  inline operator std::int64_t() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }  // NOLINT
  inline relaxed_counter& operator+=(std::int64_t more) noexcept { return *this = *this + more; }
  inline relaxed_counter& operator++() noexcept { return *this += 1; }

 private:
  std::int64_t value_ = 0;
};

/// The free blocks that are next, of each class: a stack of their addresses, the newest on top. The blocks themselves
/// are not touched. A full stack gives its oldest blocks to the store, and an empty one takes some from there. That
/// costs as much as tens of allocations, so a stack is as deep as what happened since the last exchange asks for:
///
///   since then                              depth        why
///   blocks came and went in turn            the most     what was in use just now is the fastest
///   none taken, neighbours in a row         the most     a container ends (in a pool for one thread)
///   none taken, else                        half         a program that frees what is left needs little; where several
///                                                        threads use the pool, a quarter: another one allocates
///   few taken, and they lie far apart       the least    what stays is used first, and each is on a page of its own
///   anything else                           as a rule
///
/// Where none were taken all blocks of a full stack go, else all but a quarter; half of what there is room for comes,
/// so that a program at the edge does not go back and forth. Where none were given, in a pool for one thread, a stack
/// of small blocks is filled. From the store they come in the order of their addresses, so that what is built next lies
/// close together. Counter is an integer; where other threads read it, one that they may read.
template <class Counter>
struct magazines {
  static constexpr bool one_thread = std::same_as<Counter, std::int64_t>;
  void** top[classes];           // the newest block; below the oldest one is a null; unused_ before any was here
  void** last[classes];          // where the newest one is when there is no more room
  Counter taken[classes] = {};   // how many blocks were taken, ever
  Counter misses[classes] = {};  // requests that had to be served otherwise, or were not
  block_range fresh[shared_classes] = {};

  // No page of places_ is touched before it is needed.
  magazines() noexcept { forget(); }
  magazines(const magazines&) = delete;
  magazines& operator=(const magazines&) = delete;

  /// A block, or null when there is none.
  [[nodiscard]] inline void* pop(std::size_t size_class) noexcept {
    void** const newest = top[size_class];
    void* const block = *newest;
    if (block == nullptr) [[unlikely]]
      return nullptr;
    top[size_class] = newest - 1;
    __builtin_prefetch(newest[-1], 1);  // the next one, whose first bytes are written as a rule
    ++taken[size_class];
    return block;
  }
  /// Takes a block; false when there is no room for it: make_room is next.
  [[nodiscard]] inline bool push(std::size_t size_class, void* block) noexcept {
    void** const newest = top[size_class];
    if (newest == last[size_class]) [[unlikely]]
      return false;
    top[size_class] = newest + 1;
    newest[1] = block;
    return true;
  }

  /// The oldest of the blocks.
  [[nodiscard]] inline void** oldest(std::size_t size_class) noexcept { return places_ + first_places[size_class] + 1; }
  /// How many there are.
  [[nodiscard]] inline std::size_t count(std::size_t size_class) const noexcept {
    return is_unused(size_class) ? 0 : static_cast<std::size_t>(top[size_class] - (places_ + first_places[size_class]));
  }

  /// Whether these or the store may have a block that was in use before.
  [[nodiscard]] inline bool has_used(std::size_t size_class, const block_store& store) const noexcept {
    return *top[size_class] != nullptr || store.available(size_class) != 0 || size_class >= shared_classes;
  }
  /// Such a block, or null: for a shared class only when there is none.
  [[nodiscard]] void* pop_used(std::size_t size_class, block_store& store) noexcept;
  /// A block that was not. Throws what upstream throws.
  [[nodiscard]] inline void* pop_fresh(std::size_t size_class, block_store& store) {
    if (size_class < shared_classes)
      if (block_range& from = fresh[size_class]; from.first != from.end) [[likely]] {
        ++misses[size_class];
        return std::exchange(from.first, from.first + bytes_of(size_class));
      }
    return pop_carved(size_class, store);
  }
  /// Makes room in a full magazine: there is more of it now, or most blocks have gone to the store.
  void make_room(std::size_t size_class, block_store& store) noexcept;
  /// Whether it is one of the blocks that have not been in use.
  [[nodiscard]] bool is_fresh(const std::byte* block, std::size_t bytes) const noexcept;
  /// How many of them there are: the store counts them as in use.
  [[nodiscard]] std::size_t fresh_count(std::size_t size_class) const noexcept;
  /// Gives all blocks of classes from `from` on to the store.
  void give_all(std::size_t from, block_store& store) noexcept;
  /// The same for those that have not been in use.
  void give_fresh(block_store& store) noexcept;
  void forget() noexcept;

 private:
  [[nodiscard]] void* pop_carved(std::size_t size_class, block_store& store);
  [[nodiscard]] bool is_scattered(std::size_t size_class) noexcept;
  [[nodiscard]] bool is_row(std::size_t size_class) noexcept;
  // Whether none was taken since blocks last came from or went to the store.
  [[nodiscard]] inline bool none_taken(std::size_t size_class) const noexcept {
    return taken[size_class] == taken_before_[size_class];
  }
  std::size_t change_depth(std::size_t size_class, bool gives) noexcept;
  [[nodiscard]] inline bool is_unused(std::size_t size_class) const noexcept { return top[size_class] == &unused_; }
  void begin(std::size_t size_class) noexcept;
  void* unused_ = nullptr;  // the null of stacks that have not begun
  // Large blocks in another thread's magazines are out of reach: there are few of them.
  [[nodiscard]] static constexpr std::size_t greatest_depth(std::size_t size_class) noexcept {
    return one_thread || size_class < shared_classes ? greatest_depth_of(size_class) : depth_of(size_class);
  }
  // Where a class's null is in places_; of `classes`, how many places there are.
  static constexpr auto first_places = [] {
    std::array<std::uint32_t, classes + 1> all{};
    for (std::size_t c = 0; c < classes; ++c)
      all[c + 1] = all[c] + static_cast<std::uint32_t>(greatest_depth(c) + 1);
    return all;
  }();
  // When blocks last came from or went to the store: how many had been taken from the magazine, and which it was.
  std::int64_t taken_before_[classes] = {};
  bool gave_[classes] = {};
  void* places_[first_places[classes]];
};

}  // namespace buffers::detail
