module;
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <new>
#include <utility>
module buffers.resources;

namespace buffers::detail {

namespace {

// 2^32 / bytes, rounded up: a place in a run, multiplied by it and shifted back, is the number of the block.
constexpr auto reciprocals = [] {
  std::array<std::uint32_t, shared_classes> all{};
  for (std::size_t c = 0; c < shared_classes; ++c)
    all[c] = static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + bytes_of(c) - 1) / bytes_of(c));
  return all;
}();

std::size_t block_number(std::size_t offset, std::uint32_t reciprocal) noexcept {
  return static_cast<std::size_t>((static_cast<std::uint64_t>(offset) * reciprocal) >> 32);
}

// How many blocks a shared run of so many pages has.
std::size_t blocks_in(std::uint32_t pages, std::size_t size_class) noexcept {
  if (pages == pages_of(size_class)) [[likely]]
    return blocks_per_run(size_class);
  return pages * page_bytes / bytes_of(size_class);
}

bool is_free(const run& r) noexcept { return r.is == run::unused; }

// Whether all blocks of a run in use that have been in use are here, or held while that matters.
bool is_empty(const run& r) noexcept { return r.busy == (r.is == run::partial ? 0 : 1 - r.carved); }

// Whether none of its blocks is in use.
bool is_unused(const run& r) noexcept { return is_free(r) || is_empty(r); }

// Where the last free run begins when it ends at the frontier, else that.
std::uint32_t end_of_use(chunk& c) noexcept {
  if (c.frontier == c.tables) return c.frontier;
  const std::uint32_t last = c.first_of[c.frontier - 1];
  return is_free(c.runs()[last]) ? last : c.frontier;
}

constexpr std::uint64_t bit(std::size_t number) noexcept { return std::uint64_t{1} << (number % 64); }

// Free runs are kept by length: each up to 7 pages apart, then four bins to each doubling.
std::size_t bin_of(std::uint32_t pages) noexcept {
  if (pages < 8) return pages;
  const auto log = static_cast<unsigned>(std::bit_width(pages)) - 1;
  return std::min<std::size_t>(4 * log - 4 + ((pages >> (log - 2)) & 3), 79);
}

// The pages that the tables of a chunk with this many others take.
std::size_t table_pages(std::size_t others) noexcept {
  constexpr std::size_t each = sizeof(run) + sizeof(std::uint32_t);
  // Each page of tables describes itself as well.
  return (sizeof(chunk) + others * each + page_bytes - each - 1) / (page_bytes - each);
}

// Lists of runs, in the order of their addresses.
run* merge(run* a, run* b) noexcept {
  run *first = nullptr, *last = nullptr, **end = &first;
  while (a != nullptr && b != nullptr) {
    if (b < a) std::swap(a, b);
    *end = a;
    a->previous = last;
    last = a;
    end = &a->next;
    a = a->next;
  }
  *end = a != nullptr ? a : b;
  if (*end != nullptr) (*end)->previous = last;
  return first;
}

// The first runs of a list that go on a sorted one's front or end: all of them, as a rule, where neighbours were freed.
run* pop_sorted(run*& list) noexcept {
  run *first = list, *last = list;
  for (list = list->next; list != nullptr;) {
    run* const next = list->next;
    if (list > last) {
      last->next = list;
      list->previous = last;
      last = list;
    } else if (list < first) {
      first->previous = list;
      list->next = first;
      first = list;
    } else {
      break;
    }
    list = next;
  }
  first->previous = last->next = nullptr;
  return first;
}

run* sorted(run* list) noexcept {
  run* parts[32] = {};  // each of about twice as many as the one before
  while (list != nullptr) {
    run* part = pop_sorted(list);
    std::size_t i = 0;
    for (; parts[i] != nullptr; ++i) part = merge(std::exchange(parts[i], nullptr), part);
    parts[i] = part;
  }
  for (run* part : parts)
    if (part != nullptr) list = merge(part, list);
  return list;
}

// A free block's first word leads to the next one, while nobody may touch the block.
[[gnu::no_sanitize("address")]] void* next_block(const void* block) noexcept {
  const unwatched here;
  return *static_cast<void* const*>(block);
}
[[gnu::no_sanitize("address")]] void link_block(void* block, void* next) noexcept {
  const unwatched here;
  *static_cast<void**>(block) = next;
}

// How many of the first of these blocks lie `step` behind each other. By fours, so that the end is looked at less
// often.
std::size_t in_step(void* const* blocks, std::size_t count, std::uintptr_t step) noexcept {
  std::size_t n = 1;
  std::uintptr_t next = address(blocks[0]) + step;
  for (; count - n >= 4; n += 4)
    for (std::size_t i = 0; i < 4; ++i, next += step)
      if (address(blocks[n + i]) != next) return n + i;
  for (; n < count && address(blocks[n]) == next; next += step) ++n;
  return n;
}

// The first so many bits of 256.
using bits_by_count = std::array<std::array<std::uint64_t, 4>, 257>;
constexpr bits_by_count all_first_bits() noexcept {
  bits_by_count all{};
  for (std::size_t count = 0; count < all.size(); ++count)
    for (std::size_t i = 0; i < count; ++i) all[count][i / 64] |= bit(i);
  return all;
}
constexpr bits_by_count first_bits = all_first_bits();
// One word of `count` bits from `first` on.
std::uint64_t row_of_bits(std::size_t first, std::size_t count, std::size_t word) noexcept {
  return first_bits[first + count][word] & ~first_bits[first][word];
}

void set_bits(std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = 0; i < 4; ++i) words[i] |= row_of_bits(first, count, i);
}

void clear_bits(std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = 0; i < 4; ++i) words[i] &= ~row_of_bits(first, count, i);
}

// Where the first bit is that is set.
std::size_t first_set(const std::uint64_t (&words)[4]) noexcept {
  std::size_t word = 0;
  while (words[word] == 0) ++word;
  return word * 64 + static_cast<std::size_t>(std::countr_zero(words[word]));
}

// Whether `count` bits from `first` on are set, and no other ones.
bool are_bits(const std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  std::uint64_t others = 0;
  for (std::size_t i = 0; i < 4; ++i) others |= words[i] ^ row_of_bits(first, count, i);
  return others == 0;
}

// Marks the first of the blocks of so many bytes, which has this number in the run, as free, and those after it for as
// long as each is the neighbour of the one before, all upwards or all downwards. Returns how many they are.
[[gnu::noinline]] std::size_t free_neighbours(run& r, std::size_t number, void* const* blocks, std::size_t count,
                                              std::size_t bytes) noexcept {
  const bool rise = blocks[1] > blocks[0];
  const std::size_t most = std::min<std::size_t>(count, rise ? r.carved - number : number + 1);
  const std::size_t here = in_step(blocks, most, rise ? bytes : 0 - bytes);
  set_bits(r.bits, rise ? number : number + 1 - here, here);
  return here;
}

constexpr int search_limit = 8;  // how many runs of a bin a request looks at
// How many bytes of blocks are taken into use for a magazine: where several threads use the store, what others give
// back in the meantime is better than more of these.
constexpr std::size_t carved_at_once = 8 * 1024;
// Larger blocks than this do not fill a magazine: that would be much memory.
constexpr std::size_t largest_filled = 64;
// What taking a run from another size costs, what a page more earns, and what is saved at most: see reclaim.
constexpr std::int64_t run_price = 64, page_credit = 16, most_credit = 1024 * run_price;

}  // namespace

// cppcheck-suppress thisSubtraction ; the runs are an array behind their chunk
chunk* run::home() noexcept { return reinterpret_cast<chunk*>(this - index) - 1; }
std::byte* run::memory() noexcept { return home()->memory() + index * page_bytes; }

block_store::block_store(const store_options& options, std::pmr::memory_resource* upstream, holder& owner)
    : chunks_(few_chunks_),
      chunk_room_(std::size(few_chunks_)),
      options_(options),
      upstream_(upstream),
      owner_(owner) {}

block_store::~block_store() { release(); }

// --- magazines

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
  const std::size_t depth = in_turn || all_rows                 ? greatest_depth_of(size_class)
                            : only_gives                        ? depth_of(size_class) / 2
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

// --- blocks

// From the runs that have some, in the order of their addresses; the lowest comes last, and is used first.
std::size_t block_store::take(std::size_t size_class, void** to, std::size_t most) noexcept {
  run*& list = partial_[size_class].sorted;
  const std::size_t bytes = bytes_of(size_class);
  std::size_t left = most;
  while (left != 0) {
    if (list == nullptr) list = sorted(std::exchange(partial_[size_class].others, nullptr));
    run* const from = list;
    if (from == nullptr) break;
    std::byte* const memory = from->memory();
    const std::size_t before = left;
    if (from->busy == 0) count_empty(*from, -1);
    const auto free = static_cast<std::size_t>(from->carved - from->busy);
    if (const std::size_t first = first_set(from->bits); are_bits(from->bits, first, free)) {
      const std::size_t here = std::min(left, free);
      std::byte* block = memory + first * bytes;
      for (std::size_t i = 0; i < here; ++i, block += bytes) to[--left] = block;
      clear_bits(from->bits, first, here);
    } else {
      for (std::size_t word = 0; word < 4; ++word) {
        std::uint64_t bits = from->bits[word];
        for (; bits != 0 && left != 0; bits &= bits - 1)
          to[--left] = memory + (word * 64 + static_cast<std::size_t>(std::countr_zero(bits))) * bytes;
        from->bits[word] = bits;
      }
    }
    from->busy += static_cast<std::int32_t>(before - left);
    if (from->busy == from->carved) {
      unlink(list, from);
      from->is = run::full;
      from->busy = 1;
    }
  }
  const std::size_t count = most - left;
  if (left != 0) std::memmove(to, to + left, count * sizeof(void*));
  available_[size_class] -= count;
  in_use_[size_class] += count;
  credit_ += static_cast<std::int64_t>(count);
  return count;
}

block_range block_store::carve(std::size_t size_class) {
  run* from = size_class < shared_classes ? std::exchange(carving_[size_class], nullptr) : nullptr;
  if (from == nullptr) {
    from = size_class < shared_classes ? allocate_shared_run(size_class) : allocate_whole_run(bytes_of(size_class));
    from->is = size_class < shared_classes ? run::full : run::whole;
    from->size_class = static_cast<std::uint8_t>(size_class);
    from->carved = 0;
    from->busy = 1;
    std::ranges::fill(from->bits, 0);
  }
  const std::size_t bytes = bytes_of(size_class), left = blocks_in(from->pages, size_class) - from->carved;
  const std::size_t count = std::min(left, std::max<std::size_t>(carved_at_once / bytes, 1));
  if (from->is == run::partial) {
    if (from->busy == 0) count_empty(*from, -1);
    from->busy += static_cast<std::int32_t>(count);
  }
  std::byte* const first = from->memory() + from->carved * bytes;
  from->carved = static_cast<std::uint16_t>(from->carved + count);
  if (count != left) carving_[size_class] = from;
  in_use_[size_class] += count;
  unpoison_if_mixed(first, count * bytes);
  return {first, first + count * bytes};
}

void* block_store::take_large(std::size_t bytes) {
  if (void* const used = take_used_large(bytes)) return used;
  void* const block = use_whole(allocate_whole_run(bytes));
  whole_counts& counts = whole_[whole_bucket(bytes)];
  ++counts.misses;
  ++counts.live;
  return block;
}

void* block_store::take_used_large(std::size_t bytes) noexcept {
  run* const found = take_used_run(bytes);
  if (found == nullptr) return nullptr;
  whole_counts& counts = whole_[whole_bucket(bytes)];
  ++counts.hits;
  ++counts.live;
  return use_whole(found);
}

void* block_store::take_used_whole(std::size_t size_class) noexcept {
  run* const found = take_used_run(bytes_of(size_class));
  if (found == nullptr) return nullptr;
  found->size_class = static_cast<std::uint8_t>(size_class);
  found->carved = 1;
  found->busy = 1;
  ++in_use_[size_class];
  unpoison_if_mixed(found->memory(), bytes_of(size_class));
  return found->memory();
}

// Where blocks of about that size are free: a run for one of them, or null.
run* block_store::take_used_run(std::size_t bytes) noexcept {
  const std::size_t bucket = whole_bucket(bytes);
  if (whole_[bucket].free == 0) return nullptr;
  const auto pages = static_cast<std::uint32_t>(round_up(bytes, page_bytes) / page_bytes);
  const std::uint32_t kind = kind_for(bytes);
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = take_from_bins(pages, 1 - kind);
  if (found == nullptr) return nullptr;
  chunk* home = found->home();
  for (std::size_t i = 0; home->free_whole[bucket].count == 0; ++i) home = chunks_[i];
  forget_one_whole(*home, bucket, pages);
  occupy(found);
  return found;
}

void* block_store::use_whole(run* r) noexcept {
  r->is = run::whole;
  r->size_class = classes;
  large_bytes_ += r->pages * page_bytes;
  r->carved = 1;
  r->busy = 1;
  return r->memory();
}

void block_store::give_large(void* block) noexcept {
  run* const r = run_of(block);
  const std::size_t bytes = r->pages * page_bytes;
  --whole_[whole_bucket(bytes)].live;
  large_bytes_ -= bytes;
  poison_in_program(block, bytes);
  free_whole_run(r);
  keep_spare_pages();
}

void block_store::free_whole_run(run* r) noexcept {
  count_free_whole(*r->home(), whole_bucket(r->pages * page_bytes), 1, r->pages);
  free_run(r);
}

void block_store::count_free_whole(chunk& home, std::size_t bucket, int blocks, std::int64_t pages) noexcept {
  chunk::free_blocks& here = home.free_whole[bucket];
  here.count += static_cast<std::uint32_t>(blocks);
  here.pages += static_cast<std::uint32_t>(pages);
  home.free_whole_pages += static_cast<std::uint32_t>(pages);
  whole_[bucket].free += static_cast<std::size_t>(blocks);
  whole_[bucket].free_bytes += static_cast<std::size_t>(pages) * page_bytes;
}

// One of so many pages, as near as that is possible: the others of the bucket are of its sizes.
void block_store::forget_one_whole(chunk& home, std::size_t bucket, std::uint32_t pages) noexcept {
  const chunk::free_blocks& here = home.free_whole[bucket];
  const std::int64_t others = here.count - 1, most = std::int64_t{2 * largest_shared_block / page_bytes} << bucket;
  const std::int64_t left = std::clamp(std::int64_t{here.pages} - pages, others * (most / 2 + 1), others * most);
  count_free_whole(home, bucket, -1, left - here.pages);
}

// Pages of a chunk were taken into use. The blocks that were there are taken to be the next larger ones.
[[gnu::noinline]] void block_store::forget_used_whole(chunk& home, std::uint32_t pages) noexcept {
  std::size_t bucket = pages * page_bytes > largest_shared_block ? whole_bucket(pages * page_bytes) : 0;
  while (home.free_whole_pages > home.frontier - home.tables - home.used)
    if (const auto& [count, sum] = home.free_whole[bucket]; count != 0)
      forget_one_whole(home, bucket, sum / count);
    else
      bucket = (bucket + 1) % whole_sizes;
}

void block_store::uncarve(std::size_t size_class, block_range blocks) noexcept {
  run* const to = run_of(blocks.first);
  const auto count = static_cast<std::size_t>(blocks.end - blocks.first) / bytes_of(size_class);
  in_use_[size_class] -= count;
  run*& carving = carving_[size_class];
  if ((carving != nullptr && carving != to) || blocks.end != to->memory() + to->carved * bytes_of(size_class)) {
    // Those of another thread come from there, or lie behind these: so these are like blocks that were used.
    set_bits(to->bits, block_number(address(blocks.first) - address(to->memory()), reciprocals[size_class]), count);
    available_[size_class] += count;
    return count_free(*to, count);
  }
  to->carved = static_cast<std::uint16_t>(to->carved - count);
  if (to->is == run::partial) {
    to->busy -= static_cast<std::int32_t>(count);
    if (to->busy == 0) count_empty(*to, 1);
  }
  carving = to;
}

void block_store::give(std::size_t size_class, void* const* blocks, std::size_t count) noexcept {
  in_use_[size_class] -= count;
  if (size_class >= shared_classes) {
    for (std::size_t i = 0; i < count; ++i) free_whole_run(run_of(blocks[i]));
    return keep_spare_pages();
  }
  available_[size_class] += count;
  credit_ += static_cast<std::int64_t>(count);
  const std::size_t bytes = bytes_of(size_class);
  void* const* const end = blocks + count;
  // Many containers give neighbours back, in one direction or the other. A few in a row are not worth a branch that
  // cannot be foreseen.
  constexpr std::ptrdiff_t far = 7;
  const auto begins_row = [=](void* const* at) {
    const std::uintptr_t to_far = end - at > far ? address(at[far]) - address(at[0]) : 0;
    return to_far == far * bytes || to_far == 0 - far * bytes;
  };
  while (blocks != end) {
    void* const* row = blocks;
    while (row != end && !begins_row(row)) row = end - row > far ? row + far : end;
    mark_scattered(blocks, row, size_class);
    blocks = row;
    if (row == end) break;
    const place at = place_in_run(row[0], reciprocals[size_class]);
    const std::size_t here = free_neighbours(*at.in, at.number, row, static_cast<std::size_t>(end - row), bytes);
    count_free(*at.in, here);
    blocks = row + here;
  }
}

// Apart from what calls it: its few values stay in registers.
[[gnu::noinline]] void block_store::mark_scattered(void* const* blocks, void* const* end,
                                                   std::size_t size_class) noexcept {
  const std::uint32_t reciprocal = reciprocals[size_class];
  for (; blocks != end; ++blocks) {
    const place at = place_in_run(*blocks, reciprocal);
    at.in->bits[at.number / 64] |= bit(at.number);
    count_free(*at.in, 1);
  }
}

std::size_t block_store::bytes_in_use() const noexcept {
  std::size_t sum = large_bytes_;
  for (std::size_t c = 0; c < classes; ++c) sum += in_use_[c] * bytes_of(c);
  return sum;
}

// The run and the number in it of a block that is in use.
inline block_store::place block_store::place_in_run(const void* block, std::uint32_t reciprocal) const noexcept {
  chunk* const home = home_of(block);
  const std::size_t offset = address(block) - address(home), page = home->first_of[offset / page_bytes];
  return {&home->runs()[page], block_number(offset - page * page_bytes, reciprocal)};
}

inline void block_store::count_free(run& in, std::size_t blocks) noexcept {
  if ((in.busy -= static_cast<std::int32_t>(blocks)) <= 0) [[unlikely]]
    count_first_or_last(in, blocks);
}

// The first block that comes back to a full run, or the last one that was in use.
[[gnu::noinline]] void block_store::count_first_or_last(run& in, std::size_t blocks) noexcept {
  if (in.is == run::full) {
    list(&in);
    in.busy = in.carved - static_cast<std::int32_t>(blocks);
  }
  if (in.busy == 0) count_empty(in, 1);
}

// Among those that have free blocks.
void block_store::list(run* r) noexcept {
  run*& others = partial_[r->size_class].others;
  r->is = run::partial;
  r->previous = nullptr;
  r->next = others;
  if (others != nullptr) others->previous = r;
  others = r;
}

void block_store::take_all_back() noexcept {
  void* whole = nullptr;  // a list of blocks through their first words: they change the runs, so after the loops
  std::ranges::fill(partial_, partial{});
  std::ranges::fill(available_, 0);
  std::ranges::fill(empty_pages_, 0);
  all_empty_pages_ = 0;
  std::fill_n(in_use_, shared_classes, 0);
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    chunk* const c = chunks_[i];
    for (std::uint32_t at = c->tables; at < c->frontier; at += c->runs()[at].pages) {
      run* const r = &c->runs()[at];
      if (is_free(*r)) continue;
      poison_unless_mixed(r->memory(), r->pages * page_bytes);
#if BUFFERS_HARDENED
      std::ranges::fill(r->sizes, 0);
#endif
      if (r->is == run::whole) {
        link_block(r->memory(), whole);
        whole = r->memory();
        continue;
      }
      available_[r->size_class] += r->carved;
      for (std::size_t word = 0; word < 4; ++word) {
        const std::size_t left = r->carved > word * 64 ? r->carved - word * 64 : 0;
        r->bits[word] = left >= 64 ? ~std::uint64_t{0} : bit(left) - 1;
      }
      r->busy = 0;
      count_empty(*r, 1);
      list(r);
    }
  }
  while (void* const block = whole) {
    whole = next_block(block);
    if (const std::size_t size_class = run_of(block)->size_class; size_class < classes)
      owner_.hold(block, size_class);
    else
      give_large(block);
  }
}

std::size_t block_store::block_bytes(const void* block) const noexcept {
  run* const r = run_in_use_at(block);
  if (r == nullptr) return 0;
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - r->memory());
  if (r->is == run::whole) return offset == 0 ? r->pages * page_bytes : 0;
  const std::size_t bytes = bytes_of(r->size_class);
  return offset % bytes == 0 && offset / bytes < r->carved ? bytes : 0;
}

#if BUFFERS_HARDENED
std::uint8_t& block_store::size_mark(const void* block) const noexcept {
  run* const r = run_of(block);
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - r->memory());
  return r->sizes[r->is == run::whole ? 0 : offset / bytes_of(r->size_class)];
}

void block_store::note_taken(const void* block, std::size_t bytes) noexcept {
  size_mark(block) = static_cast<std::uint8_t>(1 + bytes % 251);
}

block_store::giving block_store::note_given(const void* block, std::size_t bytes) noexcept {
  std::uint8_t& mark = size_mark(block);
  if (mark == 0) return giving::not_in_use;
  if (bytes != 0 && mark != 1 + bytes % 251) return giving::wrong_size;
  mark = 0;
  return giving::right;
}
#else
void block_store::note_taken(const void*, std::size_t) noexcept {}
block_store::giving block_store::note_given(const void*, std::size_t) noexcept { return giving::right; }
#endif

// --- runs

// Of so many pages; of no less than `fewest` where there is no memory for these.
run* block_store::allocate_run(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest) {
  const std::size_t touched_before = touched_pages_;
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = reclaim(pages, kind);
  if (found == nullptr) found = borrow(pages, kind);
  if (found == nullptr) found = extend(pages, kind);
  if (found == nullptr && kind == 0 && is_worth_gathering(pages * page_bytes)) found = gather(pages, false);
  std::size_t left = 0;
  if (found == nullptr) try {
      found = in_new_chunk(pages, kind, fewest, left);
    } catch (...) {
      found = gather(pages, true);
      if (found == nullptr && fewest != pages) found = take_few(fewest, kind);
      if (found == nullptr && !give_all_upstream(fewest, left)) throw;
      if (found == nullptr) found = in_new_chunk(pages, kind, fewest, left);
    }
  occupy(found);
  if (touched_pages_ != touched_before) pay_for(touched_pages_ - touched_before);
  return found;
}

// When there is no memory for a whole one, pages for a single block will do: whole runs of all classes take 1.5 MiB,
// which a fixed buffer may not have.
run* block_store::allocate_shared_run(std::size_t size_class) {
  const auto few = static_cast<std::uint32_t>((bytes_of(size_class) + page_bytes - 1) / page_bytes);
  return allocate_run(pages_of(size_class), 0, few);
}

run* block_store::allocate_whole_run(std::size_t bytes) {
  const auto pages = static_cast<std::uint32_t>(round_up(bytes, page_bytes) / page_bytes);
  return allocate_run(pages, kind_for(bytes), pages);
}

void block_store::occupy(run* r) noexcept {
  chunk* const home = r->home();
  home->used += r->pages;
  used_pages_ += r->pages;
  peak_pages_ = std::max(peak_pages_, used_pages_ - all_empty_pages_);
  if (home->free_whole_pages > home->frontier - home->tables - home->used) [[unlikely]]
    forget_used_whole(*home, r->pages);
  std::fill_n(home->first_of + r->index, r->pages, r->index);
#if BUFFERS_HARDENED
  std::ranges::fill(r->sizes, 0);
#endif
  r->is = run::whole;  // not free any more; the caller knows what it is
}

// Whether so much is free, in pieces or in the holder's lists, that it is better to do without another chunk.
bool block_store::is_worth_gathering(std::size_t bytes) const noexcept {
  std::size_t free = owner_.held_whole_bytes();
  for (std::size_t c = 0; c < shared_classes; ++c) free += available_[c] * bytes_of(c);
  for (std::size_t i = 0; i < chunk_count_; ++i)
    if (chunks_[i]->kind == 0) free += (chunks_[i]->frontier - chunks_[i]->tables - chunks_[i]->used) * page_bytes;
  return free >= bytes && free / page_bytes >= touched_pages_ / 16;
}

// Whether extend() has a chunk for that.
bool block_store::has_room(std::uint32_t pages, std::uint32_t kind) const noexcept {
  return std::any_of(chunks_, chunks_ + chunk_count_,
                     [&](chunk* c) { return c->kind == kind && c->pages - end_of_use(*c) >= pages; });
}

// The shortest row of runs that is long enough, where all are free or would be, if what is held came here. Where there
// is none: a chunk whose last runs are such a row, together with what lies beyond its frontier. Nulls: neither.
block_store::row block_store::find_row(std::uint32_t pages) const noexcept {
  row found{};
  std::uint32_t shortest = UINT32_MAX;
  owner_.count_held(1);
  for (std::size_t i = 0; i < 2 * chunk_count_ && (i != chunk_count_ || found.first == nullptr); ++i) {
    chunk* const c = chunks_[i % chunk_count_];
    if (c->kind != i / chunk_count_) continue;  // the memory of large blocks last
    std::uint32_t first = c->tables;
    for (std::uint32_t at = first;; at += c->runs()[at].pages) {
      if (at != c->frontier && is_unused(c->runs()[at])) continue;
      if (const std::uint32_t length = at - first; length >= pages && length < shortest) {
        found.first = &c->runs()[first];
        shortest = length;
      }
      if (at == c->frontier) break;
      first = at + c->runs()[at].pages;
    }
    if (c->pages - first >= pages) found.beyond = c;
  }
  owner_.count_held(-1);
  return found;
}

// A run made of all that is free, before or after upstream is asked for more; then also of what lies beyond a frontier.
// A few blocks in lists may keep many free runs apart. Where that is not enough, nothing happens.
run* block_store::gather(std::uint32_t pages, bool beyond) noexcept {
  const auto [first, last] = find_row(pages);
  if (first == nullptr && (last == nullptr || !beyond)) return nullptr;
  const std::size_t spare = std::exchange(options_.spare, SIZE_MAX);
  owner_.give_held(true);
  free_empty_runs();
  options_.spare = spare;
  if (first == nullptr) return extend(pages, last->kind);
  remove(first);
  return cut(first, pages);
}

// From what is here, wherever it lies.
run* block_store::take_few(std::uint32_t pages, std::uint32_t kind) noexcept {
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = borrow(pages, kind);
  if (found == nullptr) found = extend(pages, kind);
  return found != nullptr ? found : gather(pages, true);
}

// When no block is in use but all chunks, together with what upstream has left, are more than is asked for: upstream
// may have it in one piece once it has them back.
bool block_store::give_all_upstream(std::uint32_t pages, std::size_t left) noexcept {
  const std::size_t needed = (pages + table_pages(pages)) * page_bytes;
  if (needed > left + capacity() || releasable() != capacity()) return false;
  owner_.give_held(true);
  free_empty_runs();
  give_spare(0);
  return true;
}

run* block_store::take_from_bins(std::uint32_t pages, std::uint32_t kind) noexcept {
  const free_runs& in = free_[kind];
  std::size_t bin = bin_of(pages);
  run* best = nullptr;
  int looked_at = 0;
  for (run* r = in.bins[bin]; r != nullptr && looked_at < search_limit; r = r->next, ++looked_at)
    if (r->pages >= pages && (best == nullptr || r->pages < best->pages)) best = r;
  while (best == nullptr && ++bin < bins) {
    const std::uint64_t longer = in.filled[bin / 64] & (~std::uint64_t{0} << (bin % 64));
    if (longer == 0) {
      bin |= 63;
      continue;
    }
    bin = bin / 64 * 64 + static_cast<std::size_t>(std::countr_zero(longer));
    best = in.bins[bin];
  }
  if (best == nullptr) return nullptr;
  remove(best);
  return cut(best, pages);
}

// From the chunks of the other kind: what is resident there is better than memory that never was. When all of it comes
// back, it is one run again.
run* block_store::borrow(std::uint32_t pages, std::uint32_t kind) noexcept {
  return idle_pages_[1 - kind] >= pages ? take_from_bins(pages, 1 - kind) : nullptr;
}

// Shortens a run that is in no bin to what was asked for, and frees the rest.
run* block_store::cut(run* from, std::uint32_t pages) noexcept {
  if (const std::uint32_t rest = from->pages - pages; rest != 0) {
    run* const after = from + pages;
    after->index = from->index + pages;
    after->pages = rest;
    after->idle.resident = from->idle.resident - std::min(from->idle.resident, pages);
    after->idle.holes = from->idle.holes - std::min(from->idle.holes, pages);
    after->is = run::unused;
    from->pages = pages;
    insert(after);
  }
  return from;
}

// Goes beyond a frontier: that of the chunk with the least room that is enough. A free run in front of it is used, too.
run* block_store::extend(std::uint32_t pages, std::uint32_t kind) noexcept {
  chunk* best = nullptr;
  std::uint32_t best_first = 0;
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    chunk* const c = chunks_[i];
    if (c->kind != kind) continue;
    const std::uint32_t first = end_of_use(*c);
    const std::uint32_t room = c->pages - first;
    if (room < pages || (best != nullptr && room >= best->pages - best_first)) continue;
    best = c;
    best_first = first;
  }
  if (best == nullptr) return nullptr;
  run* const made = &best->runs()[best_first];
  if (best_first != best->frontier)
    remove(made);
  else
    made->idle.resident = made->idle.holes = 0;
  made->index = best_first;
  const std::uint32_t end = std::max(best->frontier, best_first + pages);
  made->pages = end - best_first;
  made->is = run::unused;
  const std::uint32_t grown = end - std::exchange(best->frontier, end);
  touched_pages_ += grown;
  credit_ += page_credit * grown;
  return cut(made, pages);
}

// How many resident pages lie idle beyond a tenth of what was ever in use at once, or 2 MiB.
std::size_t block_store::excess_pages() const noexcept {
  constexpr std::size_t least = 512;
  const std::size_t most = peak_pages_ + std::max(peak_pages_ / 10, least);
  const std::size_t resident = used_pages_ + idle_pages_[0] + idle_pages_[1];
  return resident - std::min(resident, most);
}

// So many pages are about to be touched that never were. As many that lie idle go back to the operating system, where
// there is an excess of them: a program whose phases need different sizes does not hold the memory of all of them. In
// steps that are worth a system call. Pages that come back then are not paid for, or else the same ones might come and
// go for ever.
void block_store::pay_for(std::size_t pages) noexcept {
  constexpr std::size_t step = 256;
  unpaid_pages_ += pages;
  if (unpaid_pages_ < step || options_.spare == SIZE_MAX) return;
  std::size_t due = std::min(std::exchange(unpaid_pages_, 0), excess_pages());
  due -= decommit(1, due);
  due -= decommit(0, due);
  if (due == 0) return;
  collect(due * page_bytes, [] { return true; }, [&](std::size_t freed) { return freed >= due * page_bytes; });
  due -= decommit(1, due);
  static_cast<void>(decommit(0, due));
}

// Hands so many pages of free runs back to the operating system: their contents are of no use to anybody; the addresses
// stay. Returns how many there were; where it is not possible, none.
std::size_t block_store::decommit(std::uint32_t kind, std::size_t pages) noexcept {
  constexpr std::size_t least = 8;  // for a few pages it is not worth the call
  std::size_t left = pages;
  for (std::size_t bin = bins; bin-- > least && left != 0;)
    for (run* r = free_[kind].bins[bin]; r != nullptr && left != 0; r = r->next) {
      const auto given = static_cast<std::uint32_t>(std::min<std::size_t>(left, r->idle.resident - r->idle.holes));
      if (given == 0) continue;
      if (madvise(r->memory() + (r->idle.resident - given) * page_bytes, given * page_bytes, MADV_DONTNEED) != 0)
        return pages - left;
      r->idle.resident -= given;
      idle_pages_[kind] -= given;
      left -= given;
    }
  return pages - left;
}

void block_store::keep_spare_pages() noexcept {
  if (const std::size_t most = options_.spare / page_bytes; idle_pages_[1] > most)
    static_cast<void>(decommit(1, idle_pages_[1] - most));
}

void block_store::free_run(run* freed) noexcept {
  ++freed_runs_;
  chunk* const home = freed->home();
  home->used -= freed->pages;
  used_pages_ -= freed->pages;
  freed->idle.resident = freed->pages;
  freed->idle.holes = 0;
  const std::uint32_t end = freed->index + freed->pages;
  if (run* const after = &home->runs()[end]; end != home->frontier && is_free(*after)) {
    remove(after);
    freed->idle.resident += after->idle.resident;
    freed->idle.holes = after->idle.holes;
    freed->pages += after->pages;
    after->pages = 0;  // no longer the start of a run
  }
  if (freed->index != home->tables)
    if (run* const before = &home->runs()[home->first_of[freed->index - 1]]; is_free(*before)) {
      remove(before);
      before->idle.holes += before->pages - before->idle.resident + freed->idle.holes;
      before->idle.resident = before->pages + freed->idle.resident;
      before->pages += freed->pages;
      freed->pages = 0;
      freed->is = run::unused;
      freed = before;
    }
  freed->is = run::unused;
  insert(freed);
  if (home->used == 0 && spare_bytes() > options_.spare) give_spare(options_.spare);
}

void block_store::insert(run* r) noexcept {
  chunk* const home = r->home();
  home->first_of[r->index] = home->first_of[r->index + r->pages - 1] = r->index;
  free_runs& in = free_[home->kind];
  const std::size_t bin = bin_of(r->pages);
  r->previous = nullptr;
  r->next = in.bins[bin];
  if (r->next != nullptr) r->next->previous = r;
  in.bins[bin] = r;
  in.filled[bin / 64] |= bit(bin);
  idle_pages_[home->kind] += r->idle.resident - r->idle.holes;
}

void block_store::remove(run* r) noexcept {
  const std::uint32_t kind = r->home()->kind;
  free_runs& in = free_[kind];
  const std::size_t bin = bin_of(r->pages);
  unlink(in.bins[bin], r);
  if (in.bins[bin] == nullptr) in.filled[bin / 64] &= ~bit(bin);
  idle_pages_[kind] -= r->idle.resident - r->idle.holes;
}

void block_store::unlink(run*& list, run* r) noexcept {
  (r->previous != nullptr ? r->previous->next : list) = r->next;
  if (r->next != nullptr) r->next->previous = r->previous;
}

// Frees what the holder has, and shared runs without a block in use, the most of one size first, until
// is_enough(bytes so far); nothing, when what lies idle does not matter, or with may_begin() false.
template <class MayBegin, class Enough>
void block_store::collect(std::size_t bytes, MayBegin may_begin, Enough is_enough) noexcept {
  const std::size_t whole = owner_.held_whole_bytes(), idle = whole + all_empty_pages_ * page_bytes;
  if (idle < bytes / 2 || idle / page_bytes < touched_pages_ / 128 || !may_begin()) return;
  const std::size_t spare = std::exchange(options_.spare, SIZE_MAX);  // it is about to be used
  if (whole != 0) owner_.give_held(false);
  std::size_t freed = whole;
  while (!(freed != 0 && is_enough(freed)) && all_empty_pages_ != 0) {
    const auto c = static_cast<std::size_t>(std::ranges::max_element(empty_pages_) - empty_pages_);
    // What is freed for a small request must be taken again by its own size, which may be next; what is not freed makes
    // the list longer that is gone through the next time.
    freed += free_empty_runs(c, std::max(bytes, empty_pages_[c] * page_bytes / 16));
  }
  options_.spare = spare;
}

// A run from what lies idle, before memory is used that never was. What is taken from one size may be missed there
// soon: one whose sizes come and go at random would take from one for another for ever. So it costs credit, which
// blocks that come and go, and memory that is new, earn: a program whose phases need different sizes has enough to hold
// little more than the largest of them needs, and where there is none left, memory grows until less is missed, or there
// is an excess of it.
run* block_store::reclaim(std::uint32_t pages, std::uint32_t kind) noexcept {
  const bool costs = excess_pages() == 0;
  if (costs && credit_ < 0) return nullptr;
  const std::size_t freed_before = freed_runs_;
  run* found = nullptr;
  // Where there is no other memory it must be enough: a request that is refused changes nothing.
  const auto may_begin = [&] { return has_room(pages, kind) || find_row(pages).first != nullptr; };
  collect(pages * page_bytes, may_begin, [&](std::size_t) {
    found = take_from_bins(pages, kind);
    if (found == nullptr) found = borrow(pages, kind);
    return found != nullptr;
  });
  if (costs)
    credit_ = std::min(credit_, most_credit) - run_price * static_cast<std::int64_t>(freed_runs_ - freed_before);
  return found;
}

void block_store::count_empty(const run& r, int runs) noexcept {
  const std::size_t pages = runs > 0 ? r.pages : 0 - std::size_t{r.pages};
  empty_pages_[r.size_class] += pages;
  all_empty_pages_ += pages;
}

void block_store::free_empty_runs() noexcept {
  for (std::size_t c = 0; c < shared_classes; ++c) static_cast<void>(free_empty_runs(c, SIZE_MAX));
}

// The first ones, until there are so many bytes. Returns how many there are.
std::size_t block_store::free_empty_runs(std::size_t size_class, std::size_t bytes) noexcept {
  std::size_t pages = 0;
  run*& list = partial_[size_class].sorted;
  list = merge(list, sorted(std::exchange(partial_[size_class].others, nullptr)));
  for (run *r = list, *next; r != nullptr && pages * page_bytes < bytes; r = next) {
    next = r->next;
    if (!is_empty(*r)) continue;
    unlink(list, r);
    count_empty(*r, -1);
    available_[size_class] -= r->carved;
    if (carving_[size_class] == r) carving_[size_class] = nullptr;
    pages += r->pages;
    free_run(r);
  }
  return pages * page_bytes;
}

// --- chunks

chunk* block_store::find(const void* byte) const noexcept {
  chunk** const end = chunks_ + chunk_count_;
  chunk** const after =
      std::upper_bound(chunks_, end, byte, [](const void* b, const chunk* c) { return address(b) < address(c); });
  if (after == chunks_) return nullptr;
  chunk* const c = after[-1];
  return address(byte) - address(c) < c->pages * page_bytes ? c : nullptr;
}

chunk* block_store::look_up(const void* block) const noexcept {
  const std::uintptr_t place = place_of(block);
  // The last chunk that begins up to there, and the ones before it.
  chunk** const last = std::upper_bound(chunks_, chunks_ + chunk_count_, place,
                                        [](std::uintptr_t p, const chunk* c) { return p < place_of(c); }) -
                       1;
  if (last - chunks_ > 1 && place_of(last[-2]->memory() + last[-2]->pages * page_bytes - 1) == place)
    return find(block);  // three share it: upstream had no more than small ones
  const std::size_t at = place % found_room;
  found_.all_of_high[at] = place_of(last[0]) < place ? place : 0;
  found_.high[at] = last[0];
  found_.place[at] = place;
  found_.low[at] = last != chunks_ ? last[-1] : last[0];
  return home_of(block);
}

// For a block that is in use.
run* block_store::run_of(const void* block) const noexcept {
  chunk* const c = home_of(block);
  return &c->runs()[c->first_of[(address(block) - address(c)) / page_bytes]];
}

// For any address.
run* block_store::run_in_use_at(const void* byte) const noexcept {
  chunk* const c = find(byte);
  if (c == nullptr) return nullptr;
  const auto page = static_cast<std::uint32_t>((address(byte) - address(c)) / page_bytes);
  if (page < c->tables || page >= c->frontier) return nullptr;
  const std::uint32_t first = c->first_of[page];
  run* const r = &c->runs()[first];
  return !is_free(*r) && page - first < r->pages ? r : nullptr;
}

// The first run of a new chunk. Says what upstream has left, where it does not have it and says so.
run* block_store::in_new_chunk(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest, std::size_t& left) {
  const auto bytes_for = [](std::uint32_t n) { return (n + table_pages(n)) * page_bytes; };
  const std::size_t usual = std::clamp(capacity_, options_.first_chunk, options_.largest_chunk) & ~(page_bytes - 1);
  chunk* const made = add_chunk(std::max(usual, bytes_for(pages)), bytes_for(fewest), left);
  made->kind = kind;
  return extend(std::min(pages, made->pages - made->tables), kind);
}

// Of the wanted bytes, or of what upstream has left, but no less than is needed.
chunk* block_store::add_chunk(std::size_t wanted, std::size_t needed, std::size_t& left) {
  std::size_t bytes = wanted;
  void* memory = nullptr;
  while (memory == nullptr) try {
      memory = upstream_->allocate(bytes, page_bytes);
    } catch (const exhausted& full) {
      left = full.available();
      if (bytes == needed) throw;
      const std::size_t most = left & ~(page_bytes - 1);
      bytes = std::max(most < bytes ? most : bytes / 2 & ~(page_bytes - 1), needed);
    } catch (const std::bad_alloc&) {
      if (bytes == needed) throw;
      bytes = std::max(bytes / 2 & ~(page_bytes - 1), needed);
    }
  try {
    reserve_index();
  } catch (...) {
    upstream_->deallocate(memory, bytes, page_bytes);
    throw;
  }
  auto* const made = ::new (memory) chunk{};
  made->upstream_bytes = bytes;
  made->pages = static_cast<std::uint32_t>(bytes / page_bytes);
  made->first_of = reinterpret_cast<std::uint32_t*>(made->runs() + made->pages);
  made->tables = static_cast<std::uint32_t>(
      (sizeof(chunk) + made->pages * (sizeof(run) + sizeof(std::uint32_t)) + page_bytes - 1) / page_bytes);
  made->frontier = made->tables;
  poison_in_program(made->memory() + made->tables * page_bytes, (made->pages - made->tables) * page_bytes);
  chunk** const place = std::upper_bound(chunks_, chunks_ + chunk_count_, made);
  std::copy_backward(place, chunks_ + chunk_count_, chunks_ + chunk_count_ + 1);
  *place = made;
  ++chunk_count_;
  found_ = {};
  capacity_ += bytes;
  return made;
}

void block_store::reserve_index() {
  if (chunk_count_ < chunk_room_) return;
  const std::size_t room = 2 * chunk_room_;
  auto** const grown = static_cast<chunk**>(upstream_->allocate(room * sizeof(chunk*), alignof(chunk*)));
  std::copy_n(chunks_, chunk_count_, grown);
  if (chunks_ != few_chunks_) upstream_->deallocate(chunks_, chunk_room_ * sizeof(chunk*), alignof(chunk*));
  chunks_ = grown;
  chunk_room_ = room;
}

void block_store::give_upstream(std::size_t index) noexcept {
  chunk* const c = chunks_[index];
  for (std::size_t b = 0; b < whole_sizes; ++b)
    count_free_whole(*c, b, -static_cast<int>(c->free_whole[b].count), -std::int64_t{c->free_whole[b].pages});
  std::copy(chunks_ + index + 1, chunks_ + chunk_count_, chunks_ + index);
  --chunk_count_;
  capacity_ -= c->upstream_bytes;
  touched_pages_ -= c->frontier - c->tables;
  found_ = {};
  unpoison_in_program(c->memory(), c->upstream_bytes);
  upstream_->deallocate(c, c->upstream_bytes, page_bytes);
  if (chunk_count_ == 0 && chunks_ != few_chunks_) {
    upstream_->deallocate(chunks_, chunk_room_ * sizeof(chunk*), alignof(chunk*));
    chunks_ = few_chunks_;
    chunk_room_ = std::size(few_chunks_);
  }
}

std::size_t block_store::capacity() const noexcept {
  return capacity_ + (chunks_ != few_chunks_ ? chunk_room_ * sizeof(chunk*) : 0);
}

// With all chunks goes their index.
std::size_t block_store::with_index(std::size_t chunk_bytes) const noexcept {
  return chunk_bytes == capacity_ ? capacity() : chunk_bytes;
}

std::size_t block_store::spare_bytes() const noexcept {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < chunk_count_; ++i)
    if (chunks_[i]->used == 0) sum += chunks_[i]->upstream_bytes;
  return with_index(sum);
}

void block_store::trim(std::size_t keep_bytes) noexcept {
  free_empty_runs();
  give_spare(keep_bytes);
  // ... and the pages that lie idle beside blocks in use to the operating system.
  const std::size_t idle = idle_pages_[0] + idle_pages_[1], kept = keep_bytes / page_bytes;
  if (idle <= kept) return;
  const std::size_t given = decommit(1, idle - kept);
  static_cast<void>(decommit(0, idle - kept - given));
}

void block_store::give_spare(std::size_t keep_bytes) noexcept {
  std::size_t spare = spare_bytes();
  for (std::size_t i = chunk_count_; i-- > 0 && spare > keep_bytes;) {
    chunk* const c = chunks_[i];
    if (c->used != 0) continue;
    if (c->frontier != c->tables) remove(&c->runs()[c->tables]);
    spare -= c->upstream_bytes;
    give_upstream(i);
  }
}

std::size_t block_store::releasable() const noexcept {
  std::size_t sum = 0;
  owner_.count_held(1);
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    chunk* const c = chunks_[i];
    std::uint32_t at = c->tables;
    while (at != c->frontier && is_unused(c->runs()[at])) at += c->runs()[at].pages;
    if (at == c->frontier) sum += c->upstream_bytes;
  }
  owner_.count_held(-1);
  return with_index(sum);
}

void block_store::release() noexcept {
  while (chunk_count_ != 0) give_upstream(chunk_count_ - 1);
  std::ranges::fill(partial_, partial{});
  std::ranges::fill(carving_, nullptr);
  std::ranges::fill(available_, 0);
  std::ranges::fill(in_use_, 0);
  std::ranges::fill(free_, free_runs{});
  for (whole_counts& counts : whole_) counts.live = 0;
  std::ranges::fill(empty_pages_, 0);
  touched_pages_ = all_empty_pages_ = unpaid_pages_ = large_bytes_ = freed_runs_ = 0;
  used_pages_ = peak_pages_ = 0;
  credit_ = 0;
  std::ranges::fill(idle_pages_, 0);
}

// --- blocks of upstream's own

// At least a byte behind the block, which AddressSanitizer watches.
std::size_t oversize_list::node_offset(std::size_t bytes) { return round_up(add_bytes(bytes, 1), alignof(node)); }

void* oversize_list::allocate(std::size_t bytes, std::size_t alignment, std::pmr::memory_resource& upstream) {
  const std::size_t size = node_offset(bytes);
  const std::size_t strictest = std::max(alignment, alignof(node));
  auto* const block = static_cast<std::byte*>(upstream.allocate(add_bytes(size, sizeof(node)), strictest));
  auto* const made = ::new (block + size) node{first_, nullptr, block, bytes, strictest};
  if (first_ != nullptr) first_->previous = made;
  first_ = made;
  ++count_;
  bytes_ += size + sizeof(node);
  poison_in_program(block + bytes, size - bytes);
  return block;
}

void oversize_list::deallocate(void* block, std::size_t bytes, std::pmr::memory_resource& upstream) noexcept {
  give_upstream(reinterpret_cast<node*>(static_cast<std::byte*>(block) + node_offset(bytes)), upstream);
}

void oversize_list::deallocate_all(std::pmr::memory_resource& upstream) noexcept {
  while (first_ != nullptr) give_upstream(first_, upstream);
}

void oversize_list::give_upstream(node* last, std::pmr::memory_resource& upstream) noexcept {
  (last->previous != nullptr ? last->previous->next : first_) = last->next;
  if (last->next != nullptr) last->next->previous = last->previous;
  --count_;
  void* const block = last->block;
  const std::size_t upstream_bytes = node_offset(last->bytes) + sizeof(node), alignment = last->alignment;
  bytes_ -= upstream_bytes;
  unpoison_in_program(block, upstream_bytes);
  upstream.deallocate(block, upstream_bytes, alignment);
}

std::size_t oversize_list::block_bytes(const void* block) const noexcept {
  for (const node* at = first_; at != nullptr; at = at->next)
    if (at->block == block) return at->bytes;
  return 0;
}

bool oversize_list::owns(const void* byte) const noexcept {
  for (const node* at = first_; at != nullptr; at = at->next)
    if (address(byte) - address(at->block) < at->bytes) return true;
  return false;
}

}  // namespace buffers::detail
