module;
#include <pthread.h>
#include <tbb/cache_aligned_allocator.h>
#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
module buffers.threads;

namespace buffers::detail {

namespace {

// In front of each slot, at a distance that keeps it off the slot's cache lines.
struct slot_node {
  per_thread_state* object;
  slot_node* before;     // the one made before it
  slot_node* next_free;  // of the same object
  slot_node* next;       // in its row of the registry
  slot_node** cell;      // where its thread finds it; null: free
  pthread_t thread;
};

constexpr std::size_t slot_offset = 128;
static_assert(sizeof(slot_node) <= slot_offset);

void* slot_of(slot_node* node) noexcept { return reinterpret_cast<std::byte*>(node) + slot_offset; }
slot_node* node_of(void* slot) noexcept {
  return reinterpret_cast<slot_node*>(static_cast<std::byte*>(slot) - slot_offset);
}

std::size_t node_bytes(const slot_functions& functions) noexcept { return slot_offset + functions.bytes; }

}  // namespace

struct per_thread_state {
  std::uint64_t id;
  slot_functions functions;
  void* owner;
  void* ended;
  std::atomic<slot_node*> newest = nullptr;  // all slots; one is never taken out
  slot_node* free = nullptr;                 // those that no thread has
  // How a thread whose cache has forgotten its slot finds it without a lock. oneTBB knows threads by their pthread_t,
  // of which a later thread may get the same: a cell is emptied when its thread ends.
  tbb::enumerable_thread_specific<slot_node*> cells;
};

namespace {

// --- the registry: which slots each thread has -----------------------------------------------------------------------
//
// Threads may end after the static objects of a program do, so nothing here is ever destroyed; and one may end without
// being noticed, by the use of a slot after the last call of thread key destructors, so nothing here lies in a thread.
// The lock is held for a few instructions at a time, and never while other code is called.

// A call of `ended`, on the stack of its thread.
struct ending {
  slot_node* node;
  ending* next;
};

constinit pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
constinit pthread_cond_t an_end = PTHREAD_COND_INITIALIZER;
constinit slot_node* rows[256] = {};
constinit ending* endings = nullptr;
constinit std::uint64_t ids = 0;                            // how many there have been
constinit std::uint32_t living_objects[cached_slots] = {};  // by the entry of the caches that their ids share
constinit pthread_once_t once = PTHREAD_ONCE_INIT;

struct locked {
  locked() noexcept { pthread_mutex_lock(&mutex); }
  locked(const locked&) = delete;
  locked& operator=(const locked&) = delete;
  ~locked() { pthread_mutex_unlock(&mutex); }
};

slot_node*& row_of(pthread_t thread) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &thread, sizeof thread);
  return rows[bits * 0x9e3779b97f4a7c15u >> 56];
}

void unlink(slot_node* node) noexcept {
  slot_node** at = &row_of(node->thread);
  while (*at != node) at = &(*at)->next;
  *at = node->next;
}

// Takes this thread's slots from it, one after the other. Code that `ended` calls may get new ones.
void end_thread() noexcept {
  const pthread_t self = pthread_self();
  pthread_mutex_lock(&mutex);
  for (;;) {
    slot_node** at = &row_of(self);
    while (*at != nullptr && !pthread_equal((*at)->thread, self)) at = &(*at)->next;
    slot_node* const node = *at;
    if (node == nullptr) break;
    *at = node->next;
    *node->cell = nullptr;
    node->cell = nullptr;
    per_thread_state& object = *node->object;
    if (cached_slot& entry = slot_cache[object.id % cached_slots]; entry.object == object.id) entry = {};
    ending end{node, endings};
    endings = &end;
    pthread_mutex_unlock(&mutex);
    object.functions.ended(object.owner, object.ended, slot_of(node));
    pthread_mutex_lock(&mutex);
    ending** listed = &endings;
    while (*listed != &end) listed = &(*listed)->next;
    *listed = end.next;
    node->next_free = object.free;
    object.free = node;
    pthread_cond_broadcast(&an_end);
  }
  pthread_mutex_unlock(&mutex);
}

// A child process has only the thread that forked: what others were about is over. Their slots stay with the objects,
// but are no thread's any more, as a new thread may get the identity of one that is not there.
void in_forked_child() {
  for (slot_node*& row : rows)
    for (slot_node** at = &row; *at != nullptr;) {
      slot_node* const node = *at;
      if (pthread_equal(node->thread, pthread_self())) {
        at = &node->next;
        continue;
      }
      *at = node->next;
      *node->cell = nullptr;
      node->cell = nullptr;
    }
  endings = nullptr;
  an_end = PTHREAD_COND_INITIALIZER;
  pthread_mutex_unlock(&mutex);
}

void handle_forks() {
  pthread_atfork([] { pthread_mutex_lock(&mutex); }, [] { pthread_mutex_unlock(&mutex); }, in_forked_child);
}

constinit thread_local thread_end slots_end{end_thread};

std::uint64_t take_id() noexcept {
  const locked guard;
  std::uint32_t* const fewest = std::ranges::min_element(living_objects);
  ++*fewest;
  return ++ids * cached_slots + static_cast<std::uint64_t>(fewest - living_objects);
}
void give_id(std::uint64_t id) noexcept {
  const locked guard;
  --living_objects[id % cached_slots];
}

slot_node* make(per_thread_state& object) {
  tbb::cache_aligned_allocator<std::byte> memory;
  std::byte* const at = memory.allocate(node_bytes(object.functions));
  try {
    object.functions.make(at + slot_offset, object.owner);
  } catch (...) {
    memory.deallocate(at, node_bytes(object.functions));
    throw;
  }
  return ::new (at) slot_node{&object, nullptr, nullptr, nullptr, nullptr, {}};
}

}  // namespace

// --- per_thread ------------------------------------------------------------------------------------------------------

per_thread_base::per_thread_base(const slot_functions& functions, void* owner, void* ended) {
  pthread_once(&once, handle_forks);
  tbb::cache_aligned_allocator<per_thread_state> memory;
  state_ = memory.allocate(1);
  try {
    ::new (state_) per_thread_state{0, functions, owner, ended};
  } catch (...) {
    memory.deallocate(state_, 1);
    throw;
  }
  state_->id = id_ = take_id();
}

per_thread_base::~per_thread_base() {
  slot_node* const newest = state_->newest.load(std::memory_order_acquire);
  give_id(id_);
  {
    const locked guard;
    const auto is_ending = [&] {
      for (const ending* end = endings; end != nullptr; end = end->next)
        if (end->node->object == state_) return true;
      return false;
    };
    while (is_ending()) pthread_cond_wait(&an_end, &mutex);
    for (slot_node* node = newest; node != nullptr; node = node->before)
      if (node->cell != nullptr) unlink(node);
  }
  tbb::cache_aligned_allocator<std::byte> memory;
  for (slot_node* node = newest; node != nullptr;) {
    slot_node* const before = node->before;
    state_->functions.destroy(slot_of(node));
    memory.deallocate(reinterpret_cast<std::byte*>(node), node_bytes(state_->functions));
    node = before;
  }
  state_->~per_thread_state();
  tbb::cache_aligned_allocator<per_thread_state>().deallocate(state_, 1);
}

void* per_thread_base::local_slow() {
  at_thread_end(slots_end);
  slot_node*& cell = state_->cells.local();
  if (cell == nullptr) {
    slot_node* node = nullptr;
    {
      const locked guard;
      node = state_->free;
      if (node != nullptr) state_->free = node->next_free;
    }
    const bool is_new = node == nullptr;
    if (is_new) node = make(*state_);
    node->thread = pthread_self();
    node->cell = &cell;
    cell = node;
    const locked guard;
    if (is_new) {
      node->before = state_->newest.load(std::memory_order_relaxed);
      state_->newest.store(node, std::memory_order_release);
    }
    slot_node*& row = row_of(node->thread);
    node->next = row;
    row = node;
  }
  slot_cache[id_ % cached_slots] = {id_, slot_of(cell)};
  return slot_of(cell);
}

void* per_thread_base::find_slow() const noexcept {
  const pthread_t self = pthread_self();
  const locked guard;
  for (slot_node* node = row_of(self); node != nullptr; node = node->next)
    if (node->object == state_ && pthread_equal(node->thread, self)) return slot_of(node);
  return nullptr;
}

void* per_thread_base::newest_slot() const noexcept {
  slot_node* const node = state_->newest.load(std::memory_order_acquire);
  return node != nullptr ? slot_of(node) : nullptr;
}

void* per_thread_base::slot_before(void* slot) noexcept {
  slot_node* const before = node_of(slot)->before;
  return before != nullptr ? slot_of(before) : nullptr;
}

}  // namespace buffers::detail
