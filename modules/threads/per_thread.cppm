// per_thread<Slot> gives an object one Slot for each thread that uses it, and tells the object when such a thread ends.
//
//     this thread's cache            the object's slots
//     ┌──────┬──────────┐           ┌──────┐ ┌──────┐ ┌──────┐
//     │ id   │ slot ────┼─────────▶ │ ours │ │      │ │ free │   of a thread that ended: for the next one
//     ├──────┼──────────┤           └──────┘ └──────┘ └──────┘
//     │ id   │ slot     │   of other objects
//     └──────┴──────────┘
//
//   operation   cost                      what it does
//   local       one load, one compare     this thread's slot; the first call on a thread makes it or takes a free one
//   at_hand     one load, one compare     ... or null where that would need a call
//   find        the same as local         ... or null where this thread has none
//   for_each    O(slots)                  all slots, those that wait for a thread included
//   thread end  O(objects it used)        ended(owner, slot), and then the slot is free
//
// A thread has ended when the destructors of its thread_local variables have run: they may still use the object. The
// main thread does not end, the process does.
//
// A slot, and what finds it, is memory from oneTBB's allocator (tbbmalloc where it is there, else malloc), which is
// given back by the destructor: as many slots as there were threads at the same time.
//
// Threads: any, at the same time. The destructor waits for threads that are ending, and for nobody else.
module;
#include <cstddef>
#include <cstdint>
#include <type_traits>
export module buffers.threads:per_thread;
import buffers.core;

namespace buffers::detail {
struct per_thread_state;
}

export namespace buffers::detail {

/// Where a thread found its slots last: a slot of the object with that id. No id is used twice, so an entry of an
/// object that is gone never matches; and ids are given so that as few living objects as possible share an entry.
struct cached_slot {
  std::uint64_t object = 0;
  void* slot = nullptr;
};
inline constexpr std::size_t cached_slots = 64;
inline constinit thread_local cached_slot slot_cache[cached_slots] = {};

/// What a per_thread knows of its Slot and its owner.
struct slot_functions {
  std::size_t bytes;
  void (*make)(void* at, void* owner);
  void (*destroy)(void* slot) noexcept;
  void (*ended)(void* owner, void* function, void* slot) noexcept;
};

/// per_thread without the types.
class per_thread_base {
 public:
  per_thread_base(const per_thread_base&) = delete;
  per_thread_base& operator=(const per_thread_base&) = delete;

 protected:
  per_thread_base(const slot_functions& functions, void* owner, void* ended);
  ~per_thread_base();

  [[nodiscard]] inline const cached_slot& cached() const noexcept { return slot_cache[id_ % cached_slots]; }
  [[nodiscard, gnu::cold]] void* local_slow();
  [[nodiscard, gnu::cold]] void* find_slow() const noexcept;
  /// The newest slot; the one made before that slot.
  [[nodiscard]] void* newest_slot() const noexcept;
  [[nodiscard]] static void* slot_before(void* slot) noexcept;

  std::uint64_t id_;

 private:
  per_thread_state* state_;
};

/// One Slot for each thread. Slots are made with `Slot(owner)` where that exists, else with `Slot()`, and destroyed
/// with this.
template <class Slot>
class per_thread : private per_thread_base {
  static_assert(alignof(Slot) <= 64);

 public:
  /// `ended(owner, slot)` is called by a thread that ends, for its slot, at most once at a time for a slot and without
  /// any lock. It must not call local() of this object; other objects are fine.
  template <class Owner>
  per_thread(Owner& owner, std::type_identity_t<void (*)(Owner&, Slot&) noexcept> ended)
      : per_thread_base(functions<Owner>, &owner, reinterpret_cast<void*>(ended)) {}
  /// No other thread may be in a call of this object. Slots of threads that have not ended are destroyed without
  /// ended().
  ~per_thread() = default;

  /// This thread's slot. Throws what Slot's constructor throws, and bad_alloc; then nothing has happened.
  inline Slot& local() {
    const cached_slot& entry = cached();
    if (entry.object == id_) [[likely]]
      return *static_cast<Slot*>(entry.slot);
    return *static_cast<Slot*>(local_slow());
  }
  /// This thread's slot when it is at hand, without a call; null: local() or find() may still have one.
  [[nodiscard]] inline Slot* at_hand() const noexcept {
    const cached_slot& entry = cached();
    return entry.object == id_ ? static_cast<Slot*>(entry.slot) : nullptr;
  }
  /// This thread's slot, or null where there is none.
  [[nodiscard]] inline Slot* find() const noexcept {
    const cached_slot& entry = cached();
    if (entry.object == id_) [[likely]]
      return static_cast<Slot*>(entry.slot);
    return static_cast<Slot*>(find_slow());
  }
  /// f(slot) for each. Holds no lock: f may use this object, and other threads use their slots meanwhile.
  template <class F>
  void for_each(F&& f) const {
    for (void* slot = newest_slot(); slot != nullptr; slot = slot_before(slot)) f(*static_cast<Slot*>(slot));
  }

 private:
  template <class Owner>
  static constexpr slot_functions functions = {
      sizeof(Slot),
      [](void* at, void* owner) {
        if constexpr (std::is_constructible_v<Slot, Owner&>)
          new (at) placed<Slot>{Slot(*static_cast<Owner*>(owner))};
        else
          new (at) placed<Slot>{Slot()};
      },
      [](void* slot) noexcept { static_cast<Slot*>(slot)->~Slot(); },
      [](void* owner, void* function, void* slot) noexcept {
        reinterpret_cast<void (*)(Owner&, Slot&) noexcept>(function)(*static_cast<Owner*>(owner),
                                                                     *static_cast<Slot*>(slot));
      },
  };
};

}  // namespace buffers::detail
