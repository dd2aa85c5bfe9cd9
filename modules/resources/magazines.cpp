module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
module buffers.resources;

namespace buffers::detail {

namespace {

// Larger blocks than this do not fill a magazine: that would be much memory.
constexpr std::size_t largest_filled = 64;

}  // namespace

template <class Counter>
void* magazines<Counter>::pop_used(std::size_t size_class, block_store& store) noexcept {
  void**& newest = top[size_class];
  if (*newest == nullptr) {
    if (size_class >= shared_classes) {
      void* const block = store.take_used_whole(size_class);
      if (block != nullptr) ++taken[size_class];
      return block;
    }
    if (is_unused(size_class)) begin(size_class);
    // While many are taken and none given, all that there is room for: an exchange costs as much as tens of blocks.
    const bool fills = one_thread && bytes_of(size_class) <= largest_filled && !gave_[size_class];
    const std::size_t room = change_depth(size_class, false);
    newest += store.take(size_class, newest + 1, fills ? room : room / 2);
  }
  return pop(size_class);
}

// Whether the blocks of a full magazine come from a stretch of more than twice their size.
template <class Counter>
bool magazines<Counter>::is_scattered(std::size_t size_class) noexcept {
  const std::uintptr_t all = count(size_class) * bytes_of(size_class);
  return address(*top[size_class]) - address(*oldest(size_class)) + 2 * all > 4 * all;  // upwards or downwards
}

// Whether its two newest blocks, of at least two, are neighbours, and the others lie near.
template <class Counter>
bool magazines<Counter>::is_row(std::size_t size_class) noexcept {
  const std::uintptr_t step = address(top[size_class][0]) - address(top[size_class][-1]), bytes = bytes_of(size_class);
  return (step == bytes || step == 0 - bytes) && !is_scattered(size_class);
}

// Before it gives blocks to the store or takes some. Blocks come and go when they went the other way the last time, or
// when as many as it has room for were taken from it since. Returns how deep it is now.
template <class Counter>
std::size_t magazines<Counter>::change_depth(std::size_t size_class, bool gives) noexcept {
  void** const base = places_ + first_places[size_class];
  const std::int64_t taken_now = taken[size_class];
  const bool only_gives = gives && none_taken(size_class);
  const bool turns = std::exchange(gave_[size_class], gives) != gives;
  const bool in_turn = !only_gives && (turns || taken_now - taken_before_[size_class] >= last[size_class] - base);
  taken_before_[size_class] = taken_now;
  const bool all_rows = one_thread && only_gives && is_row(size_class);
  const std::size_t depth = in_turn || all_rows                 ? greatest_depth(size_class)
                            : only_gives                        ? depth_of(size_class) / (one_thread ? 2 : 4)
                            : gives && is_scattered(size_class) ? least_depth_of(size_class)
                                                                : depth_of(size_class);
  last[size_class] = base + depth;
  return depth;
}

template <class Counter>
void* magazines<Counter>::pop_carved(std::size_t size_class, block_store& store) {
  block_range carved = store.carve(size_class);
  ++misses[size_class];
  void* const block = std::exchange(carved.first, carved.first + bytes_of(size_class));
  if (size_class < shared_classes) fresh[size_class] = carved;
  return block;
}

template <class Counter>
std::size_t magazines<Counter>::fresh_count(std::size_t size_class) const noexcept {
  if (size_class >= shared_classes) return 0;
  return static_cast<std::size_t>(fresh[size_class].end - fresh[size_class].first) / bytes_of(size_class);
}

template <class Counter>
bool magazines<Counter>::is_fresh(const std::byte* block, std::size_t bytes) const noexcept {
  if (bytes > largest_shared_block) return false;
  const block_range& range = fresh[class_of(bytes)];
  return address(block) - address(range.first) < address(range.end) - address(range.first);
}

template <class Counter>
void magazines<Counter>::give_fresh(block_store& store) noexcept {
  for (std::size_t c = 0; c < shared_classes; ++c)
    if (fresh_count(c) != 0) store.uncarve(c, std::exchange(fresh[c], {}));
}

template <class Counter>
void magazines<Counter>::make_room(std::size_t size_class, block_store& store) noexcept {
  if (is_unused(size_class)) return begin(size_class);
  const bool only_gives = none_taken(size_class);
  const std::size_t before = count(size_class), room = change_depth(size_class, true);
  if (room > before) return;
  void** const first = oldest(size_class);
  const std::size_t kept = only_gives ? 0 : room / 4, given = before - kept;
  store.give(size_class, first, given);
  std::memmove(first, first + given, kept * sizeof(void*));
  top[size_class] -= given;
}

template <class Counter>
void magazines<Counter>::give_all(std::size_t from, block_store& store) noexcept {
  for (std::size_t c = from; c < classes; ++c) {
    void** const first = oldest(c);
    const std::size_t here = count(c);
    if (here == 0) continue;
    top[c] = first - 1;
    store.give(c, first, here);
  }
}

template <class Counter>
void magazines<Counter>::forget() noexcept {
  std::ranges::fill(fresh, block_range{});
  std::ranges::fill(top, &unused_);
  std::ranges::fill(last, &unused_);
}

template <class Counter>
void magazines<Counter>::begin(std::size_t size_class) noexcept {
  top[size_class] = places_ + first_places[size_class];
  *top[size_class] = nullptr;
  last[size_class] = top[size_class] + depth_of(size_class) / (size_class < shared_classes ? 2 : 1);
}

template struct magazines<std::int64_t>;
template struct magazines<relaxed_counter>;

}  // namespace buffers::detail
