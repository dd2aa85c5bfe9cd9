module;
#include <tbb/cache_aligned_allocator.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <thread>
#include <utility>
module buffers.threads;

namespace buffers::detail {

namespace {

using std::chrono::milliseconds;

/// No buffer became free in time.
class all_in_use final : public exhausted {
 public:
  all_in_use(std::size_t bytes, std::size_t buffers, milliseconds waited) noexcept : exhausted(bytes, 0, 0) {
    const int end = std::snprintf(what_, sizeof what_,
                                  "buffers: exhausted: all %zu buffers of a thread_resource were in use for %lld ms",
                                  buffers, static_cast<long long>(waited.count()));
    if (bytes != 0)  // not a lease, which asks for a buffer
      std::snprintf(what_ + end, sizeof what_ - static_cast<std::size_t>(end),
                    "; %zu bytes requested, 0 available, capacity 0", bytes);
  }
  const char* what() const noexcept override { return what_; }

 private:
  char what_[224];
};

// A thread that waits for a buffer, on its stack.
struct waiting_thread {
  waiting_thread* next = nullptr;
  bool is_served = false;
  shared_buffer* given = nullptr;  // null, and served: it may make one
  std::condition_variable served;
};

// Who is making a buffer.
struct maker_note {
  explicit maker_note(std::atomic<std::thread::id>& m) noexcept : maker(m) { maker = std::this_thread::get_id(); }
  maker_note(const maker_note&) = delete;
  maker_note& operator=(const maker_note&) = delete;
  ~maker_note() { maker = std::thread::id(); }
  std::atomic<std::thread::id>& maker;
};

constexpr const char* still_held = "buffers: this buffer is held by a lease or a scope, which must end first";

milliseconds checked(long long wait_ms) {
  if (wait_ms < 0) throw_option("thread_options::wait", "must not be negative");
  return milliseconds(std::min(wait_ms, time_limit::longest));
}

template <class T, class... A>
T* make_with_tbb(A&&... arguments) {
  tbb::cache_aligned_allocator<T> memory;
  return ::new (memory.allocate(1)) T{std::forward<A>(arguments)...};
}

template <class T>
void destroy_with_tbb(T* object) noexcept {
  object->~T();
  tbb::cache_aligned_allocator<T>().deallocate(object, 1);
}

}  // namespace

/// A buffer, and who has it.
struct shared_buffer {
  void* buffer = nullptr;
  shared_buffer* before = nullptr;  // the one made before it
  shared_buffer* next_free = nullptr;
  thread_slot* holder = nullptr;
  bool is_free = false;
  bool is_on_its_way = false;  // to a thread, which is about to note that it has it
  bool was_left = false;       // by a thread that ended: blocks of it may be in use until it is handed out again
};

/// What all threads of a thread_resource share. The lock is held for a few instructions, but for repair() and the sums.
struct shared_buffers {
  const buffer_functions functions;
  const void* const factory;
  const std::size_t max_buffers;
  const milliseconds wait;

  mutable std::mutex mutex;
  std::mutex making;
  std::atomic<std::thread::id> maker;
  std::size_t count = 0;  // those that are being made included
  shared_buffer* newest = nullptr;
  shared_buffer* free = nullptr;
  shared_buffer* left = nullptr;  // free ones that a thread has left behind: for when there is no other
  waiting_thread* first_waiting = nullptr;
  waiting_thread** last_waiting = &first_waiting;

  waiting_thread* next_waiting() noexcept {
    waiting_thread* const first = first_waiting;
    if (first != nullptr) unlink(&first_waiting);
    return first;
  }
  void unlink(waiting_thread** at) noexcept {
    waiting_thread* const thread = *at;
    *at = thread->next;
    if (last_waiting == &thread->next) last_waiting = at;
  }

  // With the lock held: for the thread that has waited longest, and else for the next one that comes.
  void put(shared_buffer* buffer) noexcept {
    buffer->holder = nullptr;
    if (waiting_thread* const thread = next_waiting()) {
      serve(*thread, buffer);
      return;
    }
    shared_buffer*& list = buffer->was_left ? left : free;
    buffer->is_free = true;
    buffer->next_free = list;
    list = buffer;
  }
  static void serve(waiting_thread& thread, shared_buffer* buffer) noexcept {
    if (buffer != nullptr) buffer->is_on_its_way = true;
    thread.given = buffer;
    thread.is_served = true;
    thread.served.notify_one();
  }

  // With the lock held: there is one less, and another thread may make one in its place.
  void give_up_one() noexcept {
    if (waiting_thread* const thread = next_waiting())
      serve(*thread, nullptr);
    else
      --count;
  }
  void arrive(shared_buffer* entry, thread_slot* holder) noexcept {
    const std::lock_guard locked(mutex);
    entry->holder = holder;
    entry->is_on_its_way = false;
  }
  void destroy(shared_buffer* entry) noexcept {
    functions.destroy(entry->buffer);
    destroy_with_tbb(entry);
  }

  // When a thread that waits gives up: set when it begins to.
  using deadline = std::optional<std::chrono::steady_clock::time_point>;
  shared_buffer* get(std::size_t bytes, deadline& until);
  shared_buffer* wait_for_one(std::unique_lock<std::mutex>& locked, std::size_t bytes, deadline& until);
  shared_buffer* make();
};

// A buffer that is free or that was waited for; null when one is to be made.
shared_buffer* shared_buffers::get(std::size_t bytes, deadline& until) {
  std::unique_lock locked(mutex);
  for (shared_buffer** list : {&free, &left})
    if (shared_buffer* const buffer = *list) {
      *list = buffer->next_free;
      buffer->is_free = false;
      buffer->is_on_its_way = true;
      return buffer;
    }
  if (max_buffers != 0 && count >= max_buffers) return wait_for_one(locked, bytes, until);
  ++count;
  return nullptr;
}

shared_buffer* shared_buffers::wait_for_one(std::unique_lock<std::mutex>& locked, std::size_t bytes, deadline& until) {
  waiting_thread self;
  // One that has waited already, for a buffer that was of no use, is first again.
  waiting_thread** const at = until.has_value() ? &first_waiting : last_waiting;
  self.next = std::exchange(*at, &self);
  // cppcheck-suppress danglingLifetime ; it leaves the list before it ends
  if (self.next == nullptr) last_waiting = &self.next;
  if (!until.has_value()) until = std::chrono::steady_clock::now() + wait;
  if (!self.served.wait_until(locked, *until, [&] { return self.is_served; })) {
    waiting_thread** mine = &first_waiting;
    while (*mine != &self) mine = &(*mine)->next;
    unlink(mine);
    throw all_in_use(bytes, max_buffers, wait);
  }
  return self.given;
}

shared_buffer* shared_buffers::make() {
  shared_buffer* made = nullptr;
  try {
    if (maker.load(std::memory_order_relaxed) == std::this_thread::get_id())
      throw order_error("buffers: thread_options::make asks the thread_resource that it makes a buffer for");
    made = make_with_tbb<shared_buffer>();
    const std::lock_guard one_at_a_time(making);
    const maker_note noted(maker);
    made->buffer = functions.make(factory);
    if (made->buffer == nullptr) throw_option("thread_options::make", "must return a buffer");
  } catch (...) {
    if (made != nullptr) destroy_with_tbb(made);
    const std::lock_guard locked(mutex);
    give_up_one();
    throw;
  }
  const std::lock_guard locked(mutex);
  made->is_on_its_way = true;
  made->before = newest;
  newest = made;
  return made;
}

// --- thread_buffers --------------------------------------------------------------------------------------------------

void destroy_shared_buffers::operator()(shared_buffers* shared) const noexcept {
  for (shared_buffer* entry = shared->newest; entry != nullptr;) {
    shared_buffer* const before = entry->before;
    shared->destroy(entry);
    entry = before;
  }
  destroy_with_tbb(shared);
}

bool are_empty(std::span<const std::span<std::byte>> blocks) noexcept {
  return std::ranges::all_of(blocks, [](std::span<std::byte> block) { return block.empty(); });
}

void throw_foreign_checkpoint() { throw order_error("buffers: this checkpoint belongs to another thread's buffer"); }

thread_buffers::thread_buffers(const buffer_functions& functions, const void* factory, std::size_t max_buffers,
                               long long wait_ms)
    : shared_(make_with_tbb<shared_buffers>(functions, factory, max_buffers, checked(wait_ms))),
      is_limited_(max_buffers != 0),
      slots_(*this, [](thread_buffers& self, thread_slot& slot) noexcept { self.unbind(slot, true); }) {}

// Empties the buffer of a thread that ended. False when that was inside a scope: only repair() gets at it again.
bool thread_buffers::is_reset(shared_buffer& left) {
  try {
    shared_->functions.reset(left.buffer);
    return true;
  } catch (const order_error&) {
    shared_->arrive(&left, nullptr);
    return false;
  } catch (...) {
    shared_->arrive(&left, nullptr);
    throw;
  }
}

void* thread_buffers::bind(thread_slot& slot, std::size_t bytes) {
  shared_buffer* entry = nullptr;
  shared_buffers::deadline until;
  do {
    entry = shared_->get(bytes, until);
    if (entry == nullptr) entry = shared_->make();
  } while (entry->was_left && !is_reset(*entry));
  entry->was_left = false;
  slot.entry = entry;
  slot.is_leased = false;
  slot.buffer.store(entry->buffer, std::memory_order_relaxed);
  shared_->arrive(entry, &slot);
  return entry->buffer;
}

void thread_buffers::unbind(thread_slot& slot, bool was_left) noexcept {
  const std::lock_guard locked(shared_->mutex);
  shared_buffer* const entry = std::exchange(slot.entry, nullptr);
  slot.holds.store(0, std::memory_order_relaxed);  // of a thread that ended with a lease on the heap
  slot.buffer.store(nullptr, std::memory_order_relaxed);
  if (entry == nullptr) return;  // a thread that ends has none, or repair() has just taken it
  entry->was_left = was_left;
  shared_->put(entry);
}

void thread_buffers::end_lease(thread_slot& slot) noexcept {
  shared_->functions.reset(slot.entry->buffer);
  unbind(slot, false);
}

void thread_buffers::require_own(const thread_slot& slot) const noexcept {
  if (slots_.find() != &slot) violate("a lease or scope of a thread_resource ends on another thread");
}

void thread_buffers::give_back(bool must_be_empty) {
  thread_slot* const slot = slots_.find();
  if (slot == nullptr || slot->entry == nullptr) return;
  if (slot->holds.load(std::memory_order_relaxed) != 0) throw order_error(still_held);
  if (must_be_empty && !shared_->functions.is_empty(slot->entry->buffer))
    throw order_error("buffers: release: this thread's buffer is not empty; reset() gives it back as it is");
  shared_->functions.reset(slot->entry->buffer);
  unbind(*slot, false);
}

void thread_buffers::repair() {
  std::exception_ptr error;
  const std::lock_guard locked(shared_->mutex);
  while (shared_buffer* const entry = shared_->left) {
    shared_->left = entry->next_free;
    entry->is_free = false;
  }
  for (shared_buffer **at = &shared_->newest, *entry; (entry = *at) != nullptr;) {
    shared_buffer** const next = &entry->before;
    if (entry->is_free || entry->is_on_its_way) {
      at = next;
      continue;
    }
    try {
      if (entry->holder != nullptr && entry->holder->holds.load(std::memory_order_relaxed) != 0)
        throw order_error(still_held);
      shared_->functions.reset(entry->buffer);
    } catch (...) {
      if (entry->holder == nullptr) {  // its thread has ended inside a scope, which nobody is going to end
        *at = entry->before;
        shared_->destroy(entry);
        shared_->give_up_one();
        continue;
      }
      error = std::current_exception();
      at = next;
      continue;
    }
    at = next;
    if (entry->holder != nullptr) {
      entry->holder->entry = nullptr;
      entry->holder->buffer.store(nullptr, std::memory_order_relaxed);
    }
    entry->was_left = false;
    shared_->put(entry);
  }
  if (error != nullptr) std::rethrow_exception(error);
}

std::size_t thread_buffers::size() const noexcept {
  const std::lock_guard locked(shared_->mutex);
  std::size_t made = 0;
  for (const shared_buffer* entry = shared_->newest; entry != nullptr; entry = entry->before) ++made;
  return made;
}

std::size_t thread_buffers::sum(std::size_t (*of)(const void* buffer)) const {
  const std::lock_guard locked(shared_->mutex);
  std::size_t total = 0;
  for (const shared_buffer* entry = shared_->newest; entry != nullptr; entry = entry->before)
    total += of(entry->buffer);
  return total;
}

void thread_buffers::for_each(void (*call)(void* buffer)) {
  const std::lock_guard locked(shared_->mutex);
  for (shared_buffer* entry = shared_->newest; entry != nullptr; entry = entry->before) call(entry->buffer);
}

}  // namespace buffers::detail
