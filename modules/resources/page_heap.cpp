module;
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <utility>
module buffers.resources;

namespace buffers::detail {

namespace {

// The pages that the tables of a chunk with this many others take.
std::size_t table_pages(std::size_t others) noexcept {
  constexpr std::size_t each = sizeof(run) + sizeof(std::uint32_t);
  // Each page of tables describes itself as well.
  return (sizeof(chunk) + others * each + page_bytes - each - 1) / (page_bytes - each);
}

// What taking a run from another size costs, what a page more earns, and what is saved at most: see reclaim.
constexpr std::int64_t run_price = 64, page_credit = 16, most_credit = 1024 * run_price;

// How much is left of upstream's budget, where it did not say.
constexpr std::size_t not_said = SIZE_MAX;

}  // namespace

page_heap::page_heap(const store_options& options, std::pmr::memory_resource* upstream, user& its_user)
    : chunks_(few_chunks_),
      chunk_room_(std::size(few_chunks_)),
      options_(options),
      upstream_(upstream),
      user_(its_user) {
  choose_places();
}

// --- runs

run* page_heap::allocate(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest) {
  const std::size_t touched_before = touched_pages();
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = reclaim(pages, kind);
  if (found == nullptr) found = borrow(pages, kind);
  if (found == nullptr) found = extend(pages, kind);
  if (found == nullptr && kind == 0 && is_worth_gathering(pages * page_bytes)) found = gather(pages, false);
  std::size_t left = not_said;
  if (found == nullptr) try {
      found = in_new_chunk(pages, kind, fewest, left);
    } catch (...) {
      found = gather(pages, true);
      if (found == nullptr && fewest != pages) found = take_few(fewest, kind);
      if (found == nullptr && !give_all_upstream(fewest, left)) throw;
      if (found == nullptr) found = in_new_chunk(pages, kind, fewest, left);
    }
  occupy(found);
  if (touched_pages() != touched_before) pay_for(touched_pages() - touched_before);
  return found;
}

run* page_heap::allocate_shared(std::uint32_t pages, std::uint32_t fewest) { return allocate(pages, 0, fewest); }

run* page_heap::allocate_whole(std::size_t bytes) {
  const auto pages = static_cast<std::uint32_t>(round_up(bytes, page_bytes) / page_bytes);
  return allocate(pages, kind_for(bytes), pages);
}

run* page_heap::allocate_freed(std::size_t bytes) noexcept {
  const std::size_t bucket = whole_bucket(bytes);
  if (freed_[bucket].count == 0) return nullptr;
  const auto pages = static_cast<std::uint32_t>(round_up(bytes, page_bytes) / page_bytes);
  const std::uint32_t kind = kind_for(bytes);
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = take_from_bins(pages, 1 - kind);
  if (found == nullptr) return nullptr;
  chunk* home = found->home();
  for (std::size_t i = 0; home->free_whole[bucket].count == 0; ++i) home = chunks_[i];
  forget_one_freed(*home, bucket, pages);
  occupy(found);
  return found;
}

void page_heap::occupy(run* r) noexcept {
  chunk* const home = r->home();
  if (home->used == 0) unlist_empty(*home);
  home->used += r->pages;
  used_pages_[home->kind] += r->pages;
  peak_pages_ = std::max(peak_pages_, used_pages() - empty_pages_);
  if (home->free_whole_pages > home->frontier - home->tables - home->used) [[unlikely]]
    forget_used(*home, r->pages);
  std::fill_n(home->first_of + r->index, r->pages, r->index);
#if BUFFERS_HARDENED
  std::ranges::fill(r->sizes, 0);
#endif
  r->is = run::whole;  // not free any more; the caller knows what it is
}

run* page_heap::take_from_bins(std::uint32_t pages, std::uint32_t kind) noexcept {
  run* const found = free_[kind].find(pages);
  if (found == nullptr) return nullptr;
  remove(found);
  return cut(found, pages);
}

// From the chunks of the other kind: what is resident there is better than memory that never was. When all of it comes
// back, it is one run again.
run* page_heap::borrow(std::uint32_t pages, std::uint32_t kind) noexcept {
  return idle_pages_[1 - kind] >= pages ? take_from_bins(pages, 1 - kind) : nullptr;
}

// Shortens a run that is in no bin to what was asked for, and frees the rest.
run* page_heap::cut(run* from, std::uint32_t pages) noexcept {
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

// Goes beyond a frontier: that of a chunk with little more room than is needed.
run* page_heap::extend(std::uint32_t pages, std::uint32_t kind) noexcept {
  chunk* const home = chunks_by_room_[kind].find(pages);
  return home != nullptr ? extend_in(*home, pages) : nullptr;
}

// A free run in front of the frontier is used, too.
run* page_heap::extend_in(chunk& home, std::uint32_t pages) noexcept {
  const std::uint32_t first = home.pages - home.room;
  run* const made = &home.runs()[first];
  if (first != home.frontier)
    remove(made);
  else
    made->idle.resident = made->idle.holes = 0;
  made->index = first;
  const std::uint32_t end = std::max(home.frontier, first + pages);
  made->pages = end - first;
  made->is = run::unused;
  const std::uint32_t grown = end - std::exchange(home.frontier, end);
  touched_pages_[home.kind] += grown;
  credit_ += page_credit * grown;
  change_room(home, end);
  return cut(made, pages);
}

// From what is here, wherever it lies.
run* page_heap::take_few(std::uint32_t pages, std::uint32_t kind) noexcept {
  run* found = take_from_bins(pages, kind);
  if (found == nullptr) found = borrow(pages, kind);
  if (found == nullptr) found = extend(pages, kind);
  return found != nullptr ? found : gather(pages, true);
}

void page_heap::free(run* freed) noexcept {
  ++freed_runs_;
  chunk* const home = freed->home();
  home->used -= freed->pages;
  if (home->used == 0) list_empty(*home);
  used_pages_[home->kind] -= freed->pages;
  freed->idle.resident = freed->pages;
  freed->idle.holes = 0;
  const std::uint32_t end = freed->index + freed->pages;
  if (run* const after = &home->runs()[end]; end != home->frontier && after->is_free()) {
    remove(after);
    freed->idle.resident += after->idle.resident;
    freed->idle.holes = after->idle.holes;
    freed->pages += after->pages;
    after->pages = 0;  // no longer the start of a run
  }
  if (freed->index != home->tables)
    if (run* const before = &home->runs()[home->first_of[freed->index - 1]]; before->is_free()) {
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
  if (home->used == 0) give_spare(options_.spare);
}

void page_heap::free_whole(run* r) noexcept {
  count_freed(*r->home(), whole_bucket(r->pages * page_bytes), 1, r->pages);
  free(r);
}

void page_heap::insert(run* r) noexcept {
  chunk* const home = r->home();
  const std::uint32_t end = r->index + r->pages;
  home->first_of[r->index] = home->first_of[end - 1] = r->index;
  free_[home->kind].insert(r);
  idle_pages_[home->kind] += r->idle.resident - r->idle.holes;
  if (end == home->frontier) change_room(*home, r->index);
}

void page_heap::remove(run* r) noexcept {
  chunk* const home = r->home();
  const std::uint32_t end = r->index + r->pages;
  free_[home->kind].remove(r);
  idle_pages_[home->kind] -= r->idle.resident - r->idle.holes;
  if (end == home->frontier) change_room(*home, end);
}

void page_heap::change_room(chunk& c, std::uint32_t end_of_use) noexcept {
  chunks_by_room_[c.kind].remove(&c);
  c.room = c.pages - end_of_use;
  chunks_by_room_[c.kind].insert(&c);
}

// --- blocks with a run of their own that are free

void page_heap::count_freed(chunk& home, std::size_t bucket, int blocks, std::int64_t pages) noexcept {
  chunk::free_blocks& here = home.free_whole[bucket];
  here.count += static_cast<std::uint32_t>(blocks);
  here.pages += static_cast<std::uint32_t>(pages);
  home.free_whole_pages += static_cast<std::uint32_t>(pages);
  freed_[bucket].count += static_cast<std::size_t>(blocks);
  freed_[bucket].bytes += static_cast<std::size_t>(pages) * page_bytes;
}

// One of so many pages, as near as that is possible: the others of the bucket are of its sizes.
void page_heap::forget_one_freed(chunk& home, std::size_t bucket, std::uint32_t pages) noexcept {
  const chunk::free_blocks& here = home.free_whole[bucket];
  const std::int64_t others = here.count - 1, most = std::int64_t{2 * largest_shared_block / page_bytes} << bucket;
  const std::int64_t left = std::clamp(std::int64_t{here.pages} - pages, others * (most / 2 + 1), others * most);
  count_freed(home, bucket, -1, left - here.pages);
}

// Pages of a chunk were taken into use. The blocks that were there are taken to be the next larger ones.
[[gnu::noinline]] void page_heap::forget_used(chunk& home, std::uint32_t pages) noexcept {
  std::size_t bucket = pages * page_bytes > largest_shared_block ? whole_bucket(pages * page_bytes) : 0;
  while (home.free_whole_pages > home.frontier - home.tables - home.used)
    if (const auto& [count, sum] = home.free_whole[bucket]; count != 0)
      forget_one_freed(home, bucket, sum / count);
    else
      bucket = (bucket + 1) % whole_sizes;
}

// --- what lies idle

// Frees what is held, and shared runs without a block in use, the most of one size first, until
// is_enough(bytes so far); nothing, when what lies idle does not matter, or with may_begin() false.
template <class MayBegin, class Enough>
void page_heap::collect(std::size_t bytes, MayBegin may_begin, Enough is_enough) noexcept {
  const std::size_t whole = user_.held_whole_bytes(), idle = whole + empty_pages_ * page_bytes;
  if (idle < bytes / 2 || idle / page_bytes < touched_pages() / 128 || !may_begin()) return;
  const std::size_t spare = std::exchange(options_.spare, SIZE_MAX);  // it is about to be used
  if (whole != 0) user_.free_held_whole();
  std::size_t freed = whole;
  while (!(freed != 0 && is_enough(freed)) && empty_pages_ != 0) freed += user_.free_some_empty(bytes);
  options_.spare = spare;
}

// A run from what lies idle, before memory is used that never was. What is taken from one size may be missed there
// soon: one whose sizes come and go at random would take from one for another for ever. So it costs credit, which
// blocks that come and go, and memory that is new, earn: a program whose phases need different sizes has enough to hold
// little more than the largest of them needs, and where there is none left, memory grows until less is missed, or there
// is an excess of it.
run* page_heap::reclaim(std::uint32_t pages, std::uint32_t kind) noexcept {
  const bool costs = excess_pages() == 0;
  if (costs && credit_ < 0) return nullptr;
  const std::size_t freed_before = freed_runs_;
  run* found = nullptr;
  // Where there is no other memory it must be enough: a request that is refused changes nothing.
  const auto may_begin = [&] {
    return chunks_by_room_[kind].find(pages) != nullptr || find_row(pages).first != nullptr;
  };
  collect(pages * page_bytes, may_begin, [&](std::size_t) {
    found = take_from_bins(pages, kind);
    if (found == nullptr) found = borrow(pages, kind);
    return found != nullptr;
  });
  if (costs)
    credit_ = std::min(credit_, most_credit) - run_price * static_cast<std::int64_t>(freed_runs_ - freed_before);
  return found;
}

// Whether so much is free, in pieces or held, that it is better to do without another chunk.
bool page_heap::is_worth_gathering(std::size_t bytes) const noexcept {
  const std::size_t free = user_.idle_bytes() + (touched_pages_[0] - used_pages_[0]) * page_bytes;
  return free >= bytes && free / page_bytes >= touched_pages() / 16;
}

// The shortest row of runs that is long enough, where all are free or would be, if what is held came here. Where there
// is none: a chunk whose last runs are such a row, together with what lies beyond its frontier. Nulls: neither.
page_heap::row page_heap::find_row(std::uint32_t pages) const noexcept {
  row found{};
  std::uint32_t shortest = UINT32_MAX;
  user_.count_all_held(1);
  for (std::size_t i = 0; i < 2 * chunk_count_ && (i != chunk_count_ || found.first == nullptr); ++i) {
    chunk* const c = chunks_[i % chunk_count_];
    if (c->kind != i / chunk_count_) continue;  // the memory of large blocks last
    std::uint32_t first = c->tables;
    for (std::uint32_t at = first;; at += c->runs()[at].pages) {
      if (at != c->frontier && c->runs()[at].is_unused()) continue;
      if (const std::uint32_t length = at - first; length >= pages && length < shortest) {
        found.first = &c->runs()[first];
        shortest = length;
      }
      if (at == c->frontier) break;
      first = at + c->runs()[at].pages;
    }
    if (c->pages - first >= pages) found.beyond = c;
  }
  user_.count_all_held(-1);
  return found;
}

// A run made of all that is free, before or after upstream is asked for more; then also of what lies beyond a frontier.
// A few blocks in lists may keep many free runs apart. Where that is not enough, nothing happens.
run* page_heap::gather(std::uint32_t pages, bool beyond) noexcept {
  const auto [first, last] = find_row(pages);
  if (first == nullptr && (last == nullptr || !beyond)) return nullptr;
  free_all_idle();
  if (first == nullptr) return extend_in(*last, pages);
  remove(first);
  return cut(first, pages);
}

void page_heap::free_all_idle() noexcept {
  const std::size_t spare = std::exchange(options_.spare, SIZE_MAX);  // it is about to be used
  user_.free_all_idle();
  options_.spare = spare;
}

// How many resident pages lie idle beyond a tenth of what was ever in use at once, or 2 MiB.
std::size_t page_heap::excess_pages() const noexcept {
  constexpr std::size_t least = 512;
  const std::size_t most = peak_pages_ + std::max(peak_pages_ / 10, least);
  const std::size_t resident = used_pages() + idle_pages_[0] + idle_pages_[1];
  return resident - std::min(resident, most);
}

// So many pages are about to be touched that never were. As many that lie idle go back to the operating system, where
// there is an excess of them: a program whose phases need different sizes does not hold the memory of all of them. In
// steps that are worth a system call. Pages that come back then are not paid for, or else the same ones might come and
// go for ever.
void page_heap::pay_for(std::size_t pages) noexcept {
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
std::size_t page_heap::decommit(std::uint32_t kind, std::size_t pages) noexcept {
  constexpr std::size_t least = 8;  // for a few pages it is not worth the call
  std::size_t left = pages;
  for (std::size_t bin = by_length<run>::bins; bin-- > least && left != 0;)
    for (run* r = free_[kind].first(bin); r != nullptr && left != 0; r = r->next) {
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

void page_heap::keep_spare_pages() noexcept {
  if (const std::size_t most = options_.spare / page_bytes; idle_pages_[1] > most)
    static_cast<void>(decommit(1, idle_pages_[1] - most));
}

// --- chunks

chunk* page_heap::find(const void* byte) const noexcept {
  chunk** const end = chunks_ + chunk_count_;
  chunk** const after =
      std::upper_bound(chunks_, end, byte, [](const void* b, const chunk* c) { return address(b) < address(c); });
  if (after == chunks_) return nullptr;
  chunk* const c = after[-1];
  return c->contains(byte) ? c : nullptr;
}

// For a block that is in use.
chunk* page_heap::look_up(const void* block) const noexcept {
  const std::uintptr_t place = place_of(block);
  chunk** const after = std::upper_bound(chunks_, chunks_ + chunk_count_, block,
                                         [](const void* b, const chunk* c) { return address(b) < address(c); });
  chunk* const home = after[-1];
  const bool shares = after != chunks_ + chunk_count_ && place_of(*after) == place;
  chunk* const upper = shares ? *after : home;
  found_[place & found_mask_] = {upper, upper->pages * page_bytes};
  return home;
}

// When chunks have come or gone.
void page_heap::choose_places() noexcept {
  const std::size_t places = std::bit_ceil(small_bytes_ >> least_place_bits);
  const auto bits_of = [](std::size_t power) { return static_cast<unsigned>(std::bit_width(power)) - 1; };
  const std::size_t mask = std::clamp(places, fewest_found, most_found) - 1;
  const unsigned bits = std::min(least_place_bits + bits_of(std::max(places / most_found, std::size_t{1})),
                                 bits_of(options_.largest_chunk));
  if (mask == found_mask_ && bits == place_bits_) return;
  found_mask_ = mask;
  place_bits_ = bits;
  forget_found();
}

void page_heap::forget_found() noexcept { std::fill_n(found_, found_mask_ + 1, found{}); }

// For a block that is in use.
run* page_heap::run_of(const void* block) const noexcept {
  chunk* const c = finder(*this)(block);
  return &c->runs()[c->first_of[(address(block) - address(c)) / page_bytes]];
}

// For any address.
run* page_heap::run_in_use_at(const void* byte) const noexcept {
  chunk* const c = find(byte);
  if (c == nullptr) return nullptr;
  const auto page = static_cast<std::uint32_t>((address(byte) - address(c)) / page_bytes);
  if (page < c->tables || page >= c->frontier) return nullptr;
  const std::uint32_t first = c->first_of[page];
  run* const r = &c->runs()[first];
  return !r->is_free() && page - first < r->pages ? r : nullptr;
}

// The first run of a new chunk. Says what is left of upstream's budget, where it is too little and upstream says so.
run* page_heap::in_new_chunk(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest, std::size_t& left) {
  const auto bytes_for = [](std::uint32_t n) { return (n + table_pages(n)) * page_bytes; };
  const std::size_t usual = std::clamp(capacity_, options_.first_chunk, options_.largest_chunk) & ~(page_bytes - 1);
  chunk* const made = add_chunk(std::max(usual, bytes_for(pages)), bytes_for(fewest), left);
  made->kind = kind;
  if (kind == 0) small_bytes_ += made->upstream_bytes;
  choose_places();
  made->room = made->pages - made->tables;
  chunks_by_room_[kind].insert(made);
  return extend_in(*made, std::min(pages, made->room));
}

// Of the wanted bytes, or of what upstream has left, but no less than is needed.
chunk* page_heap::add_chunk(std::size_t wanted, std::size_t needed, std::size_t& left) {
  std::size_t bytes = wanted;
  void* memory = nullptr;
  while (memory == nullptr) try {
      memory = upstream_->allocate(bytes, page_bytes);
    } catch (const exhausted& full) {
      if (full.is_budget()) left = full.available();
      if (bytes == needed) throw;
      const std::size_t most = full.available() & ~(page_bytes - 1);
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
  made->below = place != chunks_ ? place[-1] : nullptr;
  if (place != chunks_ + chunk_count_) (*place)->below = made;
  std::copy_backward(place, chunks_ + chunk_count_, chunks_ + chunk_count_ + 1);
  *place = made;
  ++chunk_count_;
  capacity_ += bytes;
  list_empty(*made);
  return made;
}

void page_heap::reserve_index() {
  if (chunk_count_ < chunk_room_) return;
  const std::size_t room = 2 * chunk_room_;
  auto** const grown = static_cast<chunk**>(upstream_->allocate(room * sizeof(chunk*), alignof(chunk*)));
  std::copy_n(chunks_, chunk_count_, grown);
  if (chunks_ != few_chunks_) upstream_->deallocate(chunks_, chunk_room_ * sizeof(chunk*), alignof(chunk*));
  chunks_ = grown;
  chunk_room_ = room;
}

void page_heap::give_upstream(std::size_t index) noexcept {
  chunk* const c = chunks_[index];
  for (std::size_t b = 0; b < whole_sizes; ++b)
    count_freed(*c, b, -static_cast<int>(c->free_whole[b].count), -std::int64_t{c->free_whole[b].pages});
  if (index + 1 != chunk_count_) chunks_[index + 1]->below = c->below;
  std::copy(chunks_ + index + 1, chunks_ + chunk_count_, chunks_ + index);
  --chunk_count_;
  if (c->kind == 0) small_bytes_ -= c->upstream_bytes;
  capacity_ -= c->upstream_bytes;
  if (c->used == 0) unlist_empty(*c);
  touched_pages_[c->kind] -= c->frontier - c->tables;
  chunks_by_room_[c->kind].remove(c);
  choose_places();
  forget_found();
  unpoison_in_program(c->memory(), c->upstream_bytes);
  upstream_->deallocate(c, c->upstream_bytes, page_bytes);
  if (chunk_count_ == 0 && chunks_ != few_chunks_) {
    upstream_->deallocate(chunks_, chunk_room_ * sizeof(chunk*), alignof(chunk*));
    chunks_ = few_chunks_;
    chunk_room_ = std::size(few_chunks_);
  }
}

// When no block is in use but all chunks, together with what is left of upstream's budget, are more than is asked for:
// it is there in one piece once upstream has them back.
bool page_heap::give_all_upstream(std::uint32_t pages, std::size_t left) noexcept {
  const std::size_t needed = (pages + table_pages(pages)) * page_bytes;
  if (left == not_said || needed > left + capacity() || releasable() != capacity()) return false;
  free_all_idle();
  give_spare(0);
  return true;
}

std::size_t page_heap::capacity() const noexcept {
  return capacity_ + (chunks_ != few_chunks_ ? chunk_room_ * sizeof(chunk*) : 0);
}

// With all chunks goes their index.
std::size_t page_heap::with_index(std::size_t chunk_bytes) const noexcept {
  return chunk_bytes == capacity_ ? capacity() : chunk_bytes;
}

void page_heap::trim(std::size_t keep_bytes) noexcept {
  give_spare(keep_bytes);
  const std::size_t idle = idle_pages_[0] + idle_pages_[1], kept = keep_bytes / page_bytes;
  if (idle <= kept) return;
  const std::size_t given = decommit(1, idle - kept);
  static_cast<void>(decommit(0, idle - kept - given));
}

void page_heap::list_empty(chunk& c) noexcept {
  c.emptied_before = newest_empty_;
  c.emptied_after = nullptr;
  (newest_empty_ != nullptr ? newest_empty_->emptied_after : oldest_empty_) = &c;
  newest_empty_ = &c;
  spare_bytes_ += c.upstream_bytes;
}

void page_heap::unlist_empty(chunk& c) noexcept {
  (c.emptied_before != nullptr ? c.emptied_before->emptied_after : oldest_empty_) = c.emptied_after;
  (c.emptied_after != nullptr ? c.emptied_after->emptied_before : newest_empty_) = c.emptied_before;
  spare_bytes_ -= c.upstream_bytes;
}

// Those that have been empty the longest: one that was in use just now may be what is asked for next.
void page_heap::give_spare(std::size_t keep_bytes) noexcept {
  while (with_index(spare_bytes_) > keep_bytes) {
    chunk* const c = oldest_empty_;
    if (c->frontier != c->tables) remove(&c->runs()[c->tables]);
    give_upstream(static_cast<std::size_t>(std::lower_bound(chunks_, chunks_ + chunk_count_, c) - chunks_));
  }
}

std::size_t page_heap::releasable() const noexcept {
  std::size_t sum = 0;
  user_.count_all_held(1);
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    chunk* const c = chunks_[i];
    std::uint32_t at = c->tables;
    while (at != c->frontier && c->runs()[at].is_unused()) at += c->runs()[at].pages;
    if (at == c->frontier) sum += c->upstream_bytes;
  }
  user_.count_all_held(-1);
  return with_index(sum);
}

void page_heap::release() noexcept {
  while (chunk_count_ != 0) give_upstream(chunk_count_ - 1);
  std::ranges::fill(free_, by_length<run>{});
  std::ranges::fill(idle_pages_, 0);
  std::ranges::fill(used_pages_, 0);
  empty_pages_ = peak_pages_ = unpaid_pages_ = freed_runs_ = 0;
  credit_ = 0;
}

}  // namespace buffers::detail
