module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gsl/pointers>
#include <memory_resource>
#include <mutex>
module buffers.threads;

namespace buffers {

using detail::bytes_of, detail::classes;

namespace {

// It is held for a microsecond or less, as a rule, and to sleep and be woken costs both threads more than that: so it
// is waited for awake first, looked at less and less often.
std::unique_lock<std::mutex> lock(std::mutex& mutex) noexcept {
  constexpr int most_tries = 12, most_pauses = 32;
  std::unique_lock locked{mutex, std::try_to_lock};
  for (int tries = 0, pauses = 1; !locked && tries < most_tries; ++tries, pauses = std::min(2 * pauses, most_pauses)) {
    for (int i = 0; i < pauses; ++i) detail::pause();
    static_cast<void>(locked.try_lock());
  }
  if (!locked) locked.lock();
  return locked;
}

}  // namespace

concurrent_pool_resource::concurrent_pool_resource(const pool_options& options,
                                                   gsl::not_null<std::pmr::memory_resource*> upstream)
    : store_(detail::checked(options), upstream, *this), slots_(*this, thread_ended) {}

concurrent_pool_resource::~concurrent_pool_resource() {
  const std::lock_guard locked{mutex_};  // a thread that used it may be ending
  oversize_.deallocate_all(*store_.upstream());
}

// --- allocate and deallocate

void* concurrent_pool_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return detail::no_bytes(alignment);
  thread_lists& mine = slots_.local();
  void* block = nullptr;
  if (detail::is_oversize(bytes, alignment)) {
    const auto locked = lock(mutex_);
    const std::size_t before = oversize_.bytes();
    block = oversize_.allocate(bytes, alignment, *store_.upstream());
    count_out(oversize_.bytes() - before);
  } else if (bytes > detail::largest_listed) {
    const auto locked = lock(mutex_);
    block = store_.take_large(bytes);
    count_out(detail::round_up(bytes, detail::page_bytes));
  } else {
    block = take(mine, detail::class_of(bytes, alignment));
  }
  mine.used += static_cast<std::int64_t>(bytes);
  detail::unpoison_in_program(block, bytes);
  if constexpr (detail::hardened) {
    if (!detail::is_oversize(bytes, alignment)) note_taken(block, bytes);
  }
  return block;
}

void* concurrent_pool_resource::take(thread_lists& mine, std::size_t size_class) {
  auto& lists = mine.magazines;
  if (void* const block = lists.pop(size_class)) return block;
  if (lists.fresh_count(size_class) != 0) return lists.pop_fresh(size_class, store_);
  const auto locked = lock(mutex_);
  const std::size_t before = store_.in_use(size_class);
  void* block = lists.has_used(size_class, store_) ? lists.pop_used(size_class, store_) : nullptr;
  if (block == nullptr) block = lists.pop_fresh(size_class, store_);
  count_out((store_.in_use(size_class) - before) * bytes_of(size_class));
  return block;
}

void concurrent_pool_resource::count_out(std::size_t bytes) noexcept {
  out_ += bytes;
  peak_ = std::max(peak_, out_);
}

void concurrent_pool_resource::deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  thread_lists* mine = nullptr;
  try {
    mine = &slots_.local();
  } catch (...) {  // a thread that frees only, and there is no memory for its lists
  }
  if (mine != nullptr) {
    mine->used += -static_cast<std::int64_t>(bytes);
  } else {
    const auto locked = lock(mutex_);
    used_elsewhere_ += -static_cast<std::int64_t>(bytes);
  }
  if (!detail::is_oversize(bytes, alignment) && bytes <= detail::largest_listed) {
    const std::size_t size_class = detail::class_of(bytes, alignment);
    detail::poison_unless_mixed(block, bytes_of(size_class));
    if (mine == nullptr) {
      const auto locked = lock(mutex_);
      store_.give(size_class, &block, 1);
      out_ -= bytes_of(size_class);
    } else if (!mine->magazines.push(size_class, block)) {
      push_slow(*mine, size_class, block);
    }
    return;
  }
  const auto locked = lock(mutex_);
  if (detail::is_oversize(bytes, alignment)) {
    const std::size_t before = oversize_.bytes();
    oversize_.deallocate(block, bytes, *store_.upstream());
    out_ -= before - oversize_.bytes();
  } else {
    store_.give_large(block);
    out_ -= detail::round_up(bytes, detail::page_bytes);
  }
}

void concurrent_pool_resource::push_slow(thread_lists& mine, std::size_t size_class, void* block) noexcept {
  const auto locked = lock(mutex_);
  const std::size_t before = store_.in_use(size_class);
  mine.magazines.make_room(size_class, store_);
  out_ -= (before - store_.in_use(size_class)) * bytes_of(size_class);
  static_cast<void>(mine.magazines.push(size_class, block));
}

void concurrent_pool_resource::thread_ended(concurrent_pool_resource& pool, thread_lists& its) noexcept {
  const auto locked = lock(pool.mutex_);
  pool.give_lists(its);
}

// Under the lock.
void concurrent_pool_resource::give_lists(thread_lists& its) noexcept {
  its.magazines.give_fresh(store_);
  its.magazines.give_all(0, store_);
  out_ = store_.bytes_in_use() + oversize_.bytes();
}

// --- all of it

void concurrent_pool_resource::release() noexcept {
  const std::lock_guard locked{mutex_};
  slots_.for_each([&](thread_lists& its) {
    its.magazines.forget();
    its.used = 0;
  });
  oversize_.deallocate_all(*store_.upstream());
  store_.release();
  used_elsewhere_ = 0;
  out_ = 0;
}

std::size_t concurrent_pool_resource::trim(std::size_t keep_bytes) noexcept {
  thread_lists* const mine = slots_.find();
  const std::lock_guard locked{mutex_};
  const std::size_t before = store_.capacity();
  if (mine != nullptr) give_lists(*mine);
  store_.trim(keep_bytes);
  return before - store_.capacity();
}

std::size_t concurrent_pool_resource::used() const noexcept {
  std::int64_t sum = used_elsewhere_;
  slots_.for_each([&](const thread_lists& its) { sum += its.used; });
  return sum > 0 ? static_cast<std::size_t>(sum) : 0;
}

std::size_t concurrent_pool_resource::peak() const noexcept {
  const std::lock_guard locked{mutex_};
  return peak_;
}

void concurrent_pool_resource::reset_peak() noexcept {
  const std::lock_guard locked{mutex_};
  peak_ = out_;
}

std::size_t concurrent_pool_resource::capacity() const noexcept {
  const std::lock_guard locked{mutex_};
  return store_.capacity() + oversize_.bytes();
}

bool concurrent_pool_resource::owns(const void* byte) const noexcept {
  const std::lock_guard locked{mutex_};
  return store_.owns(byte) || oversize_.owns(byte);
}

pool_stats concurrent_pool_resource::stats() const noexcept {
  const std::lock_guard locked{mutex_};
  pool_stats all = detail::stats_of(store_);
  slots_.for_each([&](const thread_lists& its) {
    for (std::size_t c = 0; c < classes; ++c)
      detail::add_counts(all, bytes_of(c),
                         {.hits = static_cast<std::size_t>(std::int64_t{its.magazines.taken[c]}),
                          .misses = static_cast<std::size_t>(std::int64_t{its.magazines.misses[c]})});
  });
  all.oversize = oversize_.count();
  return all;
}

// --- the hardened build

void concurrent_pool_resource::note_taken(void* block, std::size_t bytes) noexcept {
  const auto locked = lock(mutex_);
  store_.note_taken(block, bytes);
}

void concurrent_pool_resource::note_given(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  const auto locked = lock(mutex_);
  detail::require_in_use(block, bytes, alignment, store_, oversize_);
}

}  // namespace buffers
