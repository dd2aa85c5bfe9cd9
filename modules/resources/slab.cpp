module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <gsl/pointers>
#include <memory_resource>
#include <new>
#include <span>
module buffers.resources;

namespace buffers {

namespace {

constexpr std::size_t slab_alignment = 64;
constexpr int search_limit = 64;  // how many kept slabs or blocks a request looks at

// What a block of that many bytes takes more than them when another one follows.
constexpr std::size_t granule_padding(std::size_t bytes) noexcept { return -bytes % detail::granule; }

slab_options checked(slab_options options) {
  constexpr std::size_t most = detail::largest_request / 4;
  if (options.first_slab < 1 || options.first_slab > most)
    detail::throw_option("slab_options::first_slab", "must be from 1 to a quarter of the address space");
  if (!(options.growth >= 1 && options.growth <= 1024))
    detail::throw_option("slab_options::growth", "must be from 1 to 1024");
  if (options.largest_slab < 1 || options.largest_slab > most)
    detail::throw_option("slab_options::largest_slab", "must be from 1 to a quarter of the address space");
  options.first_slab = detail::round_up(options.first_slab, slab_alignment);
  options.largest_slab = std::max(options.first_slab, detail::round_up(options.largest_slab, slab_alignment));
  return options;
}

}  // namespace

slab_resource::slab_resource(const slab_options& options, gsl::not_null<std::pmr::memory_resource*> upstream)
    : options_(checked(options)), upstream_(upstream) {
  std::byte* const memory = options_.initial_buffer.data();
  const std::uintptr_t first = detail::granule_end(detail::address(memory) - 1) + 1;
  const std::size_t lost = first - detail::address(memory);
  if (options_.initial_buffer.size() < lost + detail::granule) return;
  const std::size_t payload = (options_.initial_buffer.size() - lost) & ~(detail::granule - 1);
  initial_.away = detail::region(first, payload, 0);
  capacity_ = payload;
  first_ = &initial_;
  detail::poison_in_program(reinterpret_cast<void*>(first), payload);
}

slab_resource::~slab_resource() {
  if constexpr (detail::hardened)
    if (order_.open != 0) detail::violate("a slab_resource is destroyed while a scope of it is open");
  forget_oversize_after(0);
  give_all_upstream();
  detail::unpoison_in_program(options_.initial_buffer.data(), options_.initial_buffer.size());
}

// --- growing ---------------------------------------------------------------------------------------------------------

void* slab_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  if (void* const block = try_allocate_slow(bytes, alignment)) return block;
  throw_exhausted(bytes);
}

// Null: it must not grow.
void* slab_resource::try_allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (reshaped_ != 0) detail::throw_reshaped_until_reset();
  if (bytes == 0) return detail::no_bytes(alignment);
  if (void* const block = now_.take_aligned(bytes, alignment)) {
    static_cast<void>(order_.issue(current_));  // there may be a hole now
    return block;
  }
  // In a slab that is yet to come, of which it is known only how it is aligned.
  const std::size_t padding = alignment > slab_alignment ? alignment - slab_alignment : 0;
  const std::size_t payload = detail::add_bytes(bytes, padding);
  if (wanted_ != 0 && payload <= wanted_) gather();  // so that nothing is given upstream for a request that fails
  slab* const next = next_slab(bytes, alignment, payload);
  if (next == nullptr) return allocate_oversize(bytes, alignment);
  enter(next);
  return now_.take_aligned(bytes, alignment);
}

std::size_t slab_resource::next_payload() const noexcept {
  if (grown_to_ == 0) return options_.first_slab;
  const double grown = static_cast<double>(grown_to_) * options_.growth;
  if (grown >= static_cast<double>(options_.largest_slab)) return options_.largest_slab;
  return (static_cast<std::size_t>(grown) + slab_alignment - 1) & ~(slab_alignment - 1);
}

// Whether that many bytes fit when it is empty.
bool slab_resource::slab::has_room(std::size_t bytes, std::size_t alignment) const noexcept {
  const std::uintptr_t before = away.base | (alignment - 1);
  return before < away.last && bytes <= away.last - before;
}

// A kept slab with room for that many bytes, made the next in line; null when there is none.
slab_resource::slab* slab_resource::kept_slab(std::size_t bytes, std::size_t alignment) noexcept {
  slab* const next = current_ != nullptr ? current_->above : first_;
  int looked_at = 0;
  for (slab* s = next; s != nullptr && looked_at < search_limit; s = s->above, ++looked_at) {
    if (!s->has_room(bytes, alignment)) continue;
    if (s != next) {
      unlink(s);
      insert_above_current(s);
    }
    return s;
  }
  return nullptr;
}

// A slab with room for that many bytes: a kept one, or a new one of at least that payload. Null: they need memory of
// their own, or it must not grow.
slab_resource::slab* slab_resource::next_slab(std::size_t bytes, std::size_t alignment, std::size_t payload) {
  if (slab* const kept = kept_slab(bytes, alignment)) return kept;
  if (payload > next_payload() || (!options_.extendable && first_ != nullptr)) return nullptr;
  slab* const made = new_slab_of_budget(payload);
  grown_to_ = made->payload();
  insert_above_current(made);
  return made;
}

// Where a budget has too little left, but enough together with what lies unused here, it gets that back first.
std::byte* slab_resource::take_upstream(std::size_t bytes, std::size_t alignment) {
  try {
    return static_cast<std::byte*>(upstream_->allocate(bytes, alignment));
  } catch (const exhausted& full) {
    if (!full.is_budget()) throw;
    leave_empty_slabs();
    const std::size_t unused = unused_bytes();
    if (unused == 0 || full.available() + unused < bytes) throw;
  }
  static_cast<void>(trim(0));
  return static_cast<std::byte*>(upstream_->allocate(bytes, alignment));
}

slab_resource::slab* slab_resource::new_slab(std::size_t payload) {
  const std::size_t total = detail::add_bytes(payload, sizeof(slab));
  slab* const made = ::new (take_upstream(total, slab_alignment)) slab;
  made->away = detail::region(detail::address(made + 1), payload, 0);
  made->upstream_bytes = total;
  capacity_ += payload;
  detail::poison_in_program(made->fence(), made->fence_bytes() + payload);
  return made;
}

// The next slab, or, where upstream has less left than that, one of all it has, if that is enough, or becomes enough
// with what lies unused here and counts in its budget.
slab_resource::slab* slab_resource::new_slab_of_budget(std::size_t payload) {
  std::size_t left;
  try {
    return new_slab(next_payload());
  } catch (const exhausted& full) {
    const std::size_t least = payload + sizeof(slab);
    left = full.available();
    if (left < least && full.is_budget()) left += unused_bytes();
    left &= ~(slab_alignment - 1);
    if (left < least) throw;
  }
  return new_slab(left - sizeof(slab));
}

void slab_resource::throw_exhausted(std::size_t requested) const {
  if (first_ == nullptr) throw exhausted(requested, options_.first_slab, options_.first_slab);
  if (current_ == nullptr) throw exhausted(requested, first_->payload(), capacity_);
  throw exhausted(requested, now_.last - std::min(detail::granule_end(now_.top), now_.last), capacity_);
}

void slab_resource::enter(slab* next) noexcept {
  settle();
  const std::size_t before = now_.top - now_.zero;
  if (current_ != nullptr) current_->away = now_;
  now_ = detail::region(next->first(), next->payload(), before);
  next->entered = order_.issue(current_);
  current_ = next;
  grows_after_ = 0;
  wanted_ = 0;
}

void slab_resource::insert_above_current(slab* s) noexcept {
  s->below = current_;
  s->above = current_ != nullptr ? current_->above : first_;
  if (s->above != nullptr) s->above->below = s;
  (current_ != nullptr ? current_->above : first_) = s;
}

void slab_resource::unlink(slab* s) noexcept {
  (s->below != nullptr ? s->below->above : first_) = s->above;
  if (s->above != nullptr) s->above->below = s->below;
}

// After a reset: one slab for all that the last round needed, or what there is when upstream has none.
void slab_resource::gather() noexcept {
  slab* all = nullptr;
  try {
    if (options_.extendable) all = new_slab(wanted_);
  } catch (...) {
  }
  wanted_ = 0;
  if (all == nullptr) return;
  for (slab* s = first_; s != nullptr;) {
    slab* const above = s->above;
    if (s->upstream_bytes != 0) give_upstream(s);
    s = above;
  }
  while (kept_ != nullptr) give_upstream(&kept_);
  insert_above_current(all);
}

// --- blocks with memory of their own ---------------------------------------------------------------------------------

// Null: it must not grow.
void* slab_resource::allocate_oversize(std::size_t bytes, std::size_t alignment) {
  oversize* block = kept_for(bytes, alignment);
  if (block == nullptr) {
    if (!options_.extendable) return nullptr;
    const std::size_t size = detail::round_up(bytes, detail::granule);
    const std::size_t strictest = std::max(alignment, slab_alignment);
    std::byte* const memory = take_upstream(detail::add_bytes(size, sizeof(oversize)), strictest);
    block = ::new (memory + size) oversize{nullptr, memory, size, strictest, 0, 0};
    capacity_ += size;
    detail::poison_in_program(memory, size);
  }
  settle();
  block->used = bytes;
  block->serial = order_.issue(current_);
  block->older = oversize_;
  oversize_ = block;
  oversize_used_ += bytes;
  oversize_padding_ += granule_padding(bytes);
  oversize_padding_peak_ = std::max(oversize_padding_peak_, oversize_padding_);
  oversize_live_ += block->bytes;
  oversize_peak_ = std::max(oversize_peak_, oversize_live_);
  smallest_oversize_ = std::min(smallest_oversize_, bytes);
  bound_kept();
  detail::unpoison_in_program(block->memory, bytes);
  return block->memory;
}

// The tightest kept block that is at most twice too large, taken out of the kept ones.
slab_resource::oversize* slab_resource::kept_for(std::size_t bytes, std::size_t alignment) noexcept {
  oversize** best = nullptr;
  int looked_at = 0;
  for (oversize** at = &kept_; *at != nullptr && looked_at < search_limit; at = &(*at)->older, ++looked_at)
    if ((*at)->bytes >= bytes && (*at)->bytes / 2 <= bytes && detail::address((*at)->memory) % alignment == 0 &&
        (best == nullptr || (*at)->bytes < (*best)->bytes))
      best = at;
  if (best == nullptr) return nullptr;
  oversize* const block = *best;
  *best = block->older;
  oversize_kept_ -= block->bytes;
  return block;
}

// Puts a block that is in no list any more among the kept ones.
void slab_resource::keep(oversize* block) noexcept {
  settle();
  oversize_used_ -= block->used;
  oversize_padding_ -= granule_padding(block->used);
  oversize_live_ -= block->bytes;
  oversize_kept_ += block->bytes;
  block->used = 0;
  block->older = kept_;
  kept_ = block;
  if (oversize_ == nullptr) smallest_oversize_ = SIZE_MAX;
  detail::poison_in_program(block->memory, block->bytes);
}

// Half as much again as the most that was in use at once: then two sizes in turn, one of which does not serve the
// other, and what a vector needs while it grows by doubling come from upstream once.
void slab_resource::bound_kept() noexcept {
  while (kept_ != nullptr && oversize_live_ + oversize_kept_ > oversize_peak_ + oversize_peak_ / 2) {
    oversize** oldest = &kept_;
    while ((*oldest)->older != nullptr) oldest = &(*oldest)->older;
    give_upstream(oldest);
  }
}

void slab_resource::forget_oversize_after(std::uint64_t serial) noexcept {
  while (oversize_ != nullptr && oversize_->serial > serial) {
    oversize* const block = oversize_;
    oversize_ = block->older;
    keep(block);
  }
}

// Where the list of oversized blocks points to the one that begins there; at its end when there is none.
slab_resource::oversize** slab_resource::find_oversize(const void* block) noexcept {
  oversize** at = &oversize_;
  while (*at != nullptr && (*at)->memory != block) at = &(*at)->older;
  return at;
}

void slab_resource::deallocate_slow(void* block, std::size_t bytes) noexcept {
  step_back();                 // where the current slab is empty, the newest block is in the one below
  if (now_.contains(block)) {  // a block from elsewhere may end where this slab begins
    give_newest(block, bytes);
    return;
  }
  if (bytes < smallest_oversize_) return;
  oversize** const at = find_oversize(block);
  oversize* const found = *at;
  if (found == nullptr) return;
  *at = found->older;
  static_cast<void>(order_.issue(current_));
  keep(found);
}

// --- going back ------------------------------------------------------------------------------------------------------

slab_resource::checkpoint_type slab_resource::checkpoint() noexcept {
  checkpoint_type cp;
  cp.owner = this;
  cp.at = current_;
  cp.top = grows_after_ = now_.top;
  cp.serial = last_checkpoint_ = order_.issue(current_);
  return cp;
}

// Whether the slab of a valid checkpoint is still in use, and has been all the time. Where it may be a dead checkpoint
// all the same, the slab's memory may be gone, so it is looked for from above: past slabs that were entered after the
// checkpoint, each once for each time that it was.
bool slab_resource::holds(const checkpoint_type& cp) const noexcept {
  if (cp.at == nullptr || order_.is_sure_of(cp.serial)) return true;
  const slab* s = current_;
  while (s != nullptr && s->entered > cp.serial) s = s->below;
  return s == cp.at;
}

void slab_resource::restore(const checkpoint_type& cp) {
  if (cp.owner != this) detail::throw_others_checkpoint();
  order_.require_valid(cp.serial);
  if (!holds(cp)) throw order_error("buffers: the memory of this checkpoint has been given back");
  if (cp.serial < reshaped_) leave_reshape();
  order_.went_back_to(cp.serial);
  go_back(cp.at, cp.top, cp.serial);
  grows_after_ = now_.top;
}

void slab_resource::go_back(slab* to, std::uintptr_t top, std::uint64_t serial) noexcept {
  settle();
  forget_oversize_after(serial);                          // before the end moves, which may be upwards
  last_checkpoint_ = std::min(last_checkpoint_, serial);  // the younger ones are dead
  if (to == nullptr && current_ != nullptr) {
    to = first_;
    top = first_->away.base;
  }
  if (detail::is_watched())
    for (slab* s = current_; s != to; s = s->below)
      detail::poison_in_program(reinterpret_cast<void*>(s->first()), s->payload());
  const bool crossed = to != current_;
  if (crossed) {
    current_->away = now_;
    current_ = to;
    now_ = to->away;
  }
  if (to != nullptr) {
    if (now_.top > top) detail::poison_in_program(reinterpret_cast<void*>(top + 1), now_.top - top);
    now_.return_to(top);
    now_.forget_holes();
    now_.reclaim(order_.floor(current_, current_));
    grows_after_ = crossed ? now_.top : std::min(grows_after_, now_.top);  // of another slab it is not known
    step_back();
  }
  // At the edge of a slab, begin the next one: else each round of a loop would cross it again.
  if (crossed && current_ == to && reshaped_ == 0 && now_.last - now_.top < to->payload() / 8) enter(to->above);
}

void slab_resource::close_scope_slow(scope_mark& opened) noexcept {
  if (!order_.close_scope_slow(opened, current_)) return;
  if (opened.serial < reshaped_) leave_reshape();
  go_back(static_cast<slab*>(opened.at), opened.top, opened.serial);
}

// Whether no scope or checkpoint began in the current slab since it became that.
bool slab_resource::is_unmarked() const noexcept {
  if (order_.opened_in(current_, current_)) return false;
  return current_ == nullptr || last_checkpoint_ < current_->entered;
}

// Leaves slabs in which nothing is left.
void slab_resource::step_back() noexcept {
  while (current_ != nullptr && current_->below != nullptr && now_.top == now_.base && is_unmarked()) {
    settle();
    current_->away = now_;
    current_ = current_->below;
    now_ = current_->away;
    grows_after_ = now_.top;  // as far as is known here
    now_.reclaim(order_.floor(current_, current_));
  }
}

void slab_resource::reset() {
  order_.require_no_scope();
  if (reshaped_ != 0) leave_reshape();
  order_.reset();
  settle();
  const std::size_t needed = meter_.round + oversize_padding_peak_;
  if (detail::is_watched())
    for (slab* s = current_; s != nullptr; s = s->below)
      detail::poison_in_program(reinterpret_cast<void*>(s->first()), s->payload());
  forget_oversize_after(0);
  meter_.next_round();
  oversize_padding_peak_ = 0;
  now_ = {};
  current_ = nullptr;
  meter_.high = 0;
  const std::size_t first = first_ != nullptr ? first_->payload() : options_.first_slab;
  if (options_.extendable && needed > first)
    wanted_ = (needed + needed / 16 + slab_alignment - 1) & ~(slab_alignment - 1);  // and a little to spare
  else if (first_ != nullptr)
    enter(first_);
}

// --- giving back upstream --------------------------------------------------------------------------------------------

void slab_resource::give_upstream(slab* s) noexcept {
  unlink(s);
  capacity_ -= s->payload();
  detail::unpoison_in_program(s->fence(), s->fence_bytes() + s->payload());
  upstream_->deallocate(s, s->upstream_bytes, slab_alignment);
}

// The kept block that this link of the list points to.
void slab_resource::give_upstream(oversize** at) noexcept {
  oversize* const block = *at;
  *at = block->older;
  capacity_ -= block->bytes;
  oversize_kept_ -= block->bytes;
  detail::unpoison_in_program(block->memory, block->bytes);
  upstream_->deallocate(block->memory, block->bytes + sizeof(oversize), block->alignment);
}

// The newest first, as an upstream that takes only its newest block back likes it.
void slab_resource::give_all_upstream() noexcept {
  while (kept_ != nullptr) give_upstream(&kept_);
  slab* last = first_;
  while (last != nullptr && last->above != nullptr) last = last->above;
  while (last != nullptr) {
    slab* const below = last->below;
    if (last->upstream_bytes != 0) give_upstream(last);
    last = below;
  }
  current_ = nullptr;
  now_ = {};
  meter_.high = 0;
  grown_to_ = wanted_ = oversize_peak_ = 0;
}

void slab_resource::release() {
  reset();
  give_all_upstream();
}

void slab_resource::leave_empty_slabs() noexcept {
  step_back();  // an open scope or a checkpoint may hold a slab below an empty one
  if (used() != 0 || reshaped_ != 0 || !is_unmarked()) return;
  settle();  // not even the current slab is needed
  current_ = nullptr;
  now_ = {};
}

// Of slabs and large blocks that are kept.
std::size_t slab_resource::unused_bytes() const noexcept {
  std::size_t sum = oversize_kept_;
  for (const slab* s = current_ != nullptr ? current_->above : first_; s != nullptr; s = s->above)
    if (s->upstream_bytes != 0) sum += s->payload();
  return sum;
}

std::size_t slab_resource::trim(std::size_t keep_bytes) noexcept {
  leave_empty_slabs();
  const std::size_t unused = unused_bytes();
  slab* top = current_ != nullptr ? current_ : first_;
  while (top != nullptr && top->above != nullptr) top = top->above;
  const std::size_t before = capacity_;
  while (unused - (before - capacity_) > keep_bytes && kept_ != nullptr) give_upstream(&kept_);
  while (unused - (before - capacity_) > keep_bytes && top != current_) {
    slab* const next = top->below;
    if (top->upstream_bytes != 0) give_upstream(top);  // not the initial buffer
    top = next;
  }
  if (wanted_ != 0) wanted_ = std::min(wanted_, std::max(keep_bytes & ~(slab_alignment - 1), options_.first_slab));
  if (capacity_ != before) {  // it grows on from the largest that is left
    grown_to_ = 0;
    for (const slab* s = first_; s != nullptr; s = s->above)
      if (s->upstream_bytes != 0) grown_to_ = std::max(grown_to_, s->payload());
  }
  return before - capacity_;
}

// --- views -----------------------------------------------------------------------------------------------------------

// The slab in use that a block lies in.
slab_resource::slab* slab_resource::find_slab(const void* block) noexcept {
  slab* s = current_;
  while (s != nullptr && !s->contains(block)) s = s->below;
  return s;
}

void slab_resource::drop(std::span<const std::span<std::byte>> blocks) {
  for (std::span<std::byte> block : blocks) {
    if (block.empty()) continue;
    slab* const at = find_slab(block.data());
    const oversize* const own = at == nullptr ? *find_oversize(block.data()) : nullptr;
    const bool live =
        at != nullptr ? reshaped_ == 0 && region_of(at).is_live(block) : own != nullptr && own->used == block.size();
    if (!live) detail::throw_not_live();
  }
  detail::require_disjoint(blocks);
  static_cast<void>(order_.issue(current_));
  meter_.falling(now_.top);
  for (std::span<std::byte> block : blocks) {
    if (block.empty()) continue;
    if (slab* const in = find_slab(block.data())) {
      region_of(in).drop(block, order_.floor(in, current_));
      step_back();
    } else {
      oversize** const at = find_oversize(block.data());
      oversize* const found = *at;
      *at = found->older;  // NOLINT(clang-analyzer-core.NullDereference): it is live, as was looked at above
      keep(found);
    }
  }
}

void slab_resource::note_freed(const void* block, std::size_t bytes) noexcept {
  if (block == nullptr || bytes == 0) return;
  const std::span memory{static_cast<const std::byte*>(block), bytes};
  const char* mistake = nullptr;
  if (slab* const at = find_slab(block))
    mistake = region_of(at).note_freed(memory);
  else if (const oversize* const found = *find_oversize(block); found == nullptr)
    mistake = "deallocate: the block is not from this resource, or was given back before";
  else if (found->used != bytes)
    mistake = "deallocate: the size is not the one that the block was allocated with";
  if (mistake != nullptr) detail::violate(mistake);
}

std::byte* slab_resource::reshape(std::size_t bytes, std::size_t alignment) {
  if (reshaped_ == 0 && used() != 0) detail::throw_reshape_of_a_used_buffer();
  if (alignment > slab_alignment) detail::throw_reshape_alignment();
  if (wanted_ != 0 && bytes <= wanted_) gather();
  if (current_ == nullptr || now_.last - now_.base < bytes || (now_.base + 1) % alignment != 0) {
    slab* next = kept_slab(bytes, alignment);
    if (next != nullptr && next->first() % alignment != 0) next = nullptr;  // an initial buffer
    if (next == nullptr) {
      if (!options_.extendable && (first_ != nullptr || bytes > options_.first_slab)) throw_exhausted(bytes);
      next = new_slab(std::max(detail::round_up(bytes, slab_alignment), next_payload()));
      insert_above_current(next);
    }
    enter(next);
  }
  if (reshaped_ == 0) reshaped_ = order_.issue(current_);
  settle();
  now_.top = now_.zero = now_.last;  // full for allocate, and nothing used
  detail::unpoison_in_program(reinterpret_cast<void*>(now_.base + 1), now_.last - now_.base);
  return reinterpret_cast<std::byte*>(now_.base + 1);
}

// All slabs in use are empty again, as they were when the first call of reshape() found nothing in use.
void slab_resource::leave_reshape() noexcept {
  reshaped_ = 0;
  for (slab* s = current_; s != nullptr; s = s->below) {
    detail::poison_in_program(reinterpret_cast<void*>(s->first()), s->payload());
    region_of(s) = detail::region(s->first(), s->payload(), 0);
  }
  meter_.high = 0;
}

bool slab_resource::owns(const void* byte) const noexcept {
  for (const slab* s = first_; s != nullptr; s = s->above)
    if (s->contains(byte)) return true;
  for (const oversize* list : {oversize_, kept_})
    for (const oversize* block = list; block != nullptr; block = block->older)
      if (byte >= block->memory && byte < block->memory + block->bytes) return true;
  return false;
}

}  // namespace buffers
