/* The loop's interface to Python: `Index` and `Walk`. See _walk.h for how a walk works.
 *
 * Only the thread that runs a Walk may call its methods. They release the GIL where they wait.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_decide.h"
#include "_index.h"
#include "_requests.h"
#include "_tally.h"
#include "_tree.h"
#include "_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    struct index index;
} IndexObject;

typedef struct {
    PyObject_HEAD
    struct walk walk;
    PyObject *index;
    struct worker *asking;
    bool is_ready;
} WalkObject;

static PyObject *index_type; /* set once, when the module is made */

static PyObject *label_object(const char *text, size_t length, bool absent)
{
    if (absent)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
}

/* Return text and length of bytes, or `absent` for None; false with an exception set. */
static bool label_parts(PyObject *object, char **text, Py_ssize_t *length, bool *absent)
{
    static char nothing[1];
    *text = nothing;
    *length = 0;
    *absent = object == Py_None;
    if (*absent)
        return true;
    if (PyBytes_AsStringAndSize(object, text, length) != 0)
        return false;
    if (*length >= LABEL_MAX) {
        PyErr_SetString(PyExc_ValueError, "a label is too long");
        return false;
    }
    return true;
}

/* -- Index */

static PyObject *index_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, ":Index"))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    IndexObject *self = (IndexObject *)allocate(type, 0);
    if (self)
        index_init(&self->index);
    return (PyObject *)self;
}

static void release_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static void index_dealloc(PyObject *self)
{
    index_free(&((IndexObject *)self)->index);
    release_object(self);
}

static PyObject *index_add_method(PyObject *self, PyObject *arguments)
{
    const char *data;
    char *text;
    Py_ssize_t size, length;
    long long time;
    PyObject *label;
    bool absent;
    if (!PyArg_ParseTuple(arguments, "y#LO:add", &data, &size, &time, &label) ||
        !label_parts(label, &text, &length, &absent))
        return NULL;
    int result = index_add(&((IndexObject *)self)->index, (const uint8_t *)data, (size_t)size, time, text,
                           (size_t)length, absent);
    if (result == -1)
        return PyErr_NoMemory();
    if (result == -2) {
        PyErr_SetString(PyExc_ValueError, "this is not a list of inodes");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *index_find_method(PyObject *self, PyObject *argument)
{
    struct index *index = &((IndexObject *)self)->index;
    unsigned long long inode = PyLong_AsUnsignedLongLong(argument);
    if (inode == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    const struct origin *origin = index_find(index, inode); /* no lock: the GIL keeps `add` from running */
    if (!origin)
        Py_RETURN_NONE;
    return Py_BuildValue("(LN)", (long long)origin->time,
                         label_object(origin->text, origin->length, origin->absent));
}

static PyObject *group_of(const struct index *index, const struct run *whole, uint32_t number)
{
    size_t count = 0;
    for (size_t i = 0; i < whole->count; i++)
        count += whole->spans[i].origin == number;
    if (count == 0)
        Py_RETURN_NONE;
    uint8_t *data = malloc(count * 20);
    if (!data)
        return PyErr_NoMemory();
    size_t size = encode_spans(whole->spans, whole->count, number, data);
    const struct origin *origin = &index->origins[number];
    PyObject *group = Py_BuildValue("(LNy#)", (long long)origin->time,
                                    label_object(origin->text, origin->length, origin->absent), data,
                                    (Py_ssize_t)size);
    free(data);
    return group;
}

static PyObject *index_groups(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    struct index *index = &((IndexObject *)self)->index;
    struct run whole;
    if (index_fold(index, &whole) != 0)
        return PyErr_NoMemory();
    PyObject *groups = PyList_New(0);
    for (uint32_t number = 0; groups && number < index->origin_count; number++) {
        PyObject *group = group_of(index, &whole, number);
        if (!group || (group != Py_None && PyList_Append(groups, group) != 0))
            Py_CLEAR(groups);
        Py_XDECREF(group);
    }
    free(whole.spans);
    return groups;
}

static PyMethodDef index_methods[] = {
    {"add", index_add_method, METH_VARARGS, "add(encoded, time, label): see mcsd.relabel.index.Index"},
    {"find", index_find_method, METH_O, "find(inode): see mcsd.relabel.index.Index"},
    {"groups", index_groups, METH_NOARGS, "groups(): see mcsd.relabel.index.Index"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot index_slots[] = {
    {Py_tp_new, index_new},
    {Py_tp_dealloc, index_dealloc},
    {Py_tp_methods, index_methods},
    {Py_tp_doc, "Inode number to origin, as intervals."},
    {0, NULL},
};

static PyType_Spec index_spec = {"mcsd.relabel._walk.Index", sizeof(IndexObject), 0, Py_TPFLAGS_DEFAULT,
                                 index_slots};

/* -- Walk */

static bool set_labels(struct walk *walk, PyObject *target, PyObject *fallback)
{
    char *text;
    Py_ssize_t length;
    bool absent;
    if (!label_parts(target, &text, &length, &absent))
        return false;
    walk->target = label_intern(walk, text, (size_t)length, absent);
    if (!label_parts(fallback, &text, &length, &absent))
        return false;
    walk->fallback = label_intern(walk, text, (size_t)length, absent);
    if (walk->target && walk->fallback)
        return true;
    PyErr_NoMemory();
    return false;
}

static void set_locks(struct walk *walk)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&walk->mutex, NULL);
    pthread_mutex_init(&walk->label_mutex, NULL);
    pthread_mutex_init(&walk->tally_mutex, NULL);
    pthread_cond_init(&walk->work, NULL);
    pthread_cond_init(&walk->requested, &attributes);
    pthread_condattr_destroy(&attributes);
}

static PyObject *walk_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"root",    "index",       "mode",       "target",     "fallback",
                            "created", "swept",       "workers",    "batch",      "most",
                            "nice",    "io_priority", NULL};
    int root, mode, swept, nice_value, io_priority;
    long long created;
    Py_ssize_t workers, batch, most;
    PyObject *index, *target, *fallback;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iOiOOLpnnnii:Walk", names, &root, &index, &mode,
                                     &target, &fallback, &created, &swept, &workers, &batch, &most,
                                     &nice_value, &io_priority))
        return NULL;
    if (!PyObject_TypeCheck(index, (PyTypeObject *)index_type) || mode < RELABEL || mode > VERIFY ||
        workers < 1 || workers > 64 || batch < 1 || most < batch) {
        PyErr_SetString(PyExc_ValueError, "these are not the arguments of a walk");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    WalkObject *self = (WalkObject *)allocate(type, 0); /* all zero */
    if (!self)
        return NULL;
    struct walk *walk = &self->walk;
    set_locks(walk);
    self->is_ready = true;
    Py_INCREF(index);
    self->index = index;
    walk->index = &((IndexObject *)index)->index;
    walk->root = root;
    walk->mode = (enum mode)mode;
    walk->created = created;
    walk->swept = swept;
    walk->worker_count = (size_t)workers;
    walk->batch_limit = (size_t)batch;
    walk->batch_most = (size_t)most;
    walk->nice_value = nice_value;
    walk->io_priority = io_priority;
    if (!set_labels(walk, target, fallback))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void walk_dealloc(PyObject *object)
{
    WalkObject *self = (WalkObject *)object;
    if (self->is_ready) {
        Py_BEGIN_ALLOW_THREADS
        walk_end(&self->walk);
        Py_END_ALLOW_THREADS
        labels_free(&self->walk);
        tally_free(&self->walk);
        pthread_mutex_destroy(&self->walk.mutex);
        pthread_mutex_destroy(&self->walk.label_mutex);
        pthread_mutex_destroy(&self->walk.tally_mutex);
        pthread_cond_destroy(&self->walk.work);
        pthread_cond_destroy(&self->walk.requested);
    }
    Py_XDECREF(self->index);
    release_object(object);
}

static PyObject *walk_start_method(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    if (((WalkObject *)self)->walk.workers) {
        PyErr_SetString(PyExc_ValueError, "a walk starts once");
        return NULL;
    }
    errno = walk_start(&((WalkObject *)self)->walk);
    return errno ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

static PyObject *record_request(const struct worker *worker)
{
    PyObject *groups = PyList_New(0);
    for (size_t i = 0; groups && i < worker->group_count; i++) {
        const struct group *group = &worker->groups[i];
        PyObject *item = Py_BuildValue("(Ny#)", label_object(group->label->text, group->label->length,
                                                             group->label->absent),
                                       group->data, (Py_ssize_t)group->size);
        if (!item || PyList_Append(groups, item) != 0)
            Py_CLEAR(groups);
        Py_XDECREF(item);
    }
    return groups ? Py_BuildValue("(s(NL))", "record", groups, (long long)worker->youngest) : NULL;
}

static PyObject *default_request(const struct worker *worker)
{
    PyObject *files = PyList_New(0);
    for (size_t i = 0; files && i < worker->batch.count; i++) {
        const struct entry *entry = &worker->batch.entries[i];
        size_t length;
        if (!entry->needs_default)
            continue;
        struct value value = fallback_for(worker->walk, entry->node);
        char *path = node_path(entry->node, worker->batch.names + entry->name, &length);
        PyObject *item = path ? Py_BuildValue("(y#iN)", path, (Py_ssize_t)length, (int)entry->mode,
                                              label_object(value.text, value.length, value.absent))
                              : PyErr_NoMemory();
        free(path);
        if (!item || PyList_Append(files, item) != 0)
            Py_CLEAR(files);
        Py_XDECREF(item);
    }
    return files ? Py_BuildValue("(sN)", "default", files) : NULL;
}

static PyObject *walk_wait_method(PyObject *object, PyObject *argument)
{
    WalkObject *self = (WalkObject *)object;
    long milliseconds = PyLong_AsLong(argument);
    bool is_over;
    if (milliseconds == -1 && PyErr_Occurred())
        return NULL;
    if (self->asking) {
        PyErr_SetString(PyExc_ValueError, "what was asked last is not answered yet");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    self->asking = walk_wait(&self->walk, (int)milliseconds, &is_over);
    Py_END_ALLOW_THREADS
    if (!self->asking)
        return is_over ? Py_NewRef(Py_None) : Py_BuildValue("(sO)", "nothing", Py_None);
    const struct worker *worker = self->asking;
    switch (worker->request) {
    case REQUEST_JUDGE:
        return Py_BuildValue("(sN)", "judge", label_object(worker->asked->text, worker->asked->length,
                                                           worker->asked->absent));
    case REQUEST_RECORD:
        return record_request(worker);
    default:
        return default_request(worker);
    }
}

static bool take_defaults(struct worker *worker, PyObject *labels)
{
    Py_ssize_t place = 0;
    for (size_t i = 0; i < worker->batch.count; i++) {
        struct entry *entry = &worker->batch.entries[i];
        char *text;
        Py_ssize_t length;
        bool absent;
        if (!entry->needs_default)
            continue;
        PyObject *label = PyList_GetItem(labels, place++);
        if (!label || !label_parts(label, &text, &length, &absent))
            return false;
        const struct label *kept = label_intern(worker->walk, text, (size_t)length, absent);
        if (!kept) {
            PyErr_NoMemory();
            return false;
        }
        entry->value = (struct value){kept->text, kept->length, kept->absent};
        entry->writes = kept != entry->had;
    }
    return true;
}

static PyObject *walk_answer_method(PyObject *object, PyObject *answer)
{
    WalkObject *self = (WalkObject *)object;
    struct worker *worker = self->asking;
    if (!worker) {
        PyErr_SetString(PyExc_ValueError, "nobody asked");
        return NULL;
    }
    if (worker->request == REQUEST_JUDGE) {
        unsigned long verdict = PyLong_AsUnsignedLong(answer);
        if (PyErr_Occurred())
            return NULL;
        atomic_store(&((struct label *)worker->asked)->verdict, (unsigned)verdict | JUDGED);
    } else if (worker->request == REQUEST_DEFAULT) {
        if (!take_defaults(worker, answer))
            return NULL;
    } else {
        atomic_store(&self->walk.is_begun, true);
    }
    self->asking = NULL;
    request_answer(worker);
    Py_RETURN_NONE;
}

static PyObject *walk_end_method(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    ((WalkObject *)self)->asking = NULL;
    Py_BEGIN_ALLOW_THREADS
    walk_end(&((WalkObject *)self)->walk);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *walk_give_way(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    atomic_store(&((WalkObject *)self)->walk.is_yielding, true);
    Py_RETURN_NONE;
}

static PyObject *walk_counts(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    struct walk *walk = &((WalkObject *)self)->walk;
    unsigned long long skipped = 0;
    for (size_t i = 0; i < REASONS; i++)
        skipped += atomic_load(&walk->skipped[i]);
    return Py_BuildValue("(KKK)", atomic_load(&walk->seen), atomic_load(&walk->changed), skipped);
}

static PyObject *walk_skipped(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    struct walk *walk = &((WalkObject *)self)->walk;
    PyObject *all = PyDict_New();
    for (size_t i = 0; all && i < REASONS; i++) {
        PyObject *entry = Py_BuildValue("(K[])", atomic_load(&walk->skipped[i]));
        PyObject *paths = entry ? PyTuple_GetItem(entry, 1) : NULL;
        for (size_t j = 0; entry && j < walk->example_count; j++) {
            const struct example *example = &walk->examples[j];
            PyObject *path = example->reason == i
                                 ? PyBytes_FromStringAndSize(example->path, (Py_ssize_t)example->length)
                                 : NULL;
            if (path && PyList_Append(paths, path) != 0)
                Py_CLEAR(entry);
            Py_XDECREF(path);
        }
        if (!entry || PyErr_Occurred() || PyDict_SetItemString(all, reason_names[i], entry) != 0)
            Py_CLEAR(all);
        Py_XDECREF(entry);
    }
    return all;
}

static PyObject *walk_linked(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    struct walk *walk = &((WalkObject *)self)->walk;
    PyObject *all = PyList_New(0);
    for (size_t i = 0; all && i < walk->linked_count; i++) {
        const struct linked *linked = &walk->linked[i];
        PyObject *item = Py_BuildValue("(Ky#)", (unsigned long long)linked->inode, linked->path,
                                       (Py_ssize_t)linked->length);
        if (!item || PyList_Append(all, item) != 0)
            Py_CLEAR(all);
        Py_XDECREF(item);
    }
    return all;
}

static PyObject *walk_state(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    struct walk *walk = &((WalkObject *)self)->walk;
    return Py_BuildValue("(Oi)", atomic_load(&walk->is_disturbed) ? Py_True : Py_False,
                         atomic_load(&walk->failure));
}

static PyMethodDef walk_methods[] = {
    {"start", walk_start_method, METH_NOARGS, "Start the workers; raises OSError."},
    {"wait", walk_wait_method, METH_O, "Wait some milliseconds for (kind, data); None when all is done."},
    {"answer", walk_answer_method, METH_O, "Answer what `wait` gave last."},
    {"end", walk_end_method, METH_NOARGS, "Stop the workers and wait for them."},
    {"give_way", walk_give_way, METH_NOARGS, "Take the low priority from now on."},
    {"counts", walk_counts, METH_NOARGS, "(seen, changed, skipped) so far."},
    {"skipped", walk_skipped, METH_NOARGS, "{reason: (count, [path])}; after `end`."},
    {"linked", walk_linked, METH_NOARGS, "[(inode, path)] of multiply linked files; after `end`."},
    {"state", walk_state, METH_NOARGS, "(whether directories changed meanwhile, errno that ended it)."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot walk_slots[] = {
    {Py_tp_new, walk_new},
    {Py_tp_dealloc, walk_dealloc},
    {Py_tp_methods, walk_methods},
    {Py_tp_doc, "One pass over everything below a volume's root."},
    {0, NULL},
};

static PyType_Spec walk_spec = {"mcsd.relabel._walk.Walk", sizeof(WalkObject), 0, Py_TPFLAGS_DEFAULT,
                                walk_slots};

static int add_type(PyObject *module, const char *name, PyObject *type)
{
    return type ? PyModule_AddObjectRef(module, name, type) : -1;
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_walk", "The per-inode loop.", -1, NULL,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__walk(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    index_type = PyType_FromSpec(&index_spec);
    PyObject *walk_type = PyType_FromSpec(&walk_spec);
    if (add_type(module, "Index", index_type) != 0 || add_type(module, "Walk", walk_type) != 0 ||
        PyModule_AddIntConstant(module, "OURS", OURS) != 0 ||
        PyModule_AddIntConstant(module, "TARGET", TARGET) != 0 ||
        PyModule_AddIntConstant(module, "LEFT_ALONE", LEFT_ALONE) != 0 ||
        PyModule_AddIntConstant(module, "EXCLUSIVE", EXCLUSIVE) != 0)
        Py_CLEAR(module);
    Py_XDECREF(walk_type);
    return module;
}
