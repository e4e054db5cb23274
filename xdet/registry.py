"""Registries of xdet, children of MMEngine's.

``locations`` name the modules that register components, so a config finds them without the user importing anything, and
nothing is imported before something is built. A new module that registers a component is named here.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='xdet',
    locations=[
        'xdet.models.xdecoder',
        'xdet.models.backbones',
        'xdet.models.data_preprocessor',
        'xdet.models.decoder',
        'xdet.models.losses',
        'xdet.models.pixel_decoders',
        'xdet.models.clip_ensemble',
        'xdet.models.pixel_names',
        'xdet.models.text.text_encoder',
        'xdet.models.text.open_clip_encoder',
    ],
)
TASKS = Registry('task', scope='xdet', locations=['xdet.tasks', 'xdet.distillation', 'xdet.self_critical'])
TASK_FORMATS = Registry('task format', scope='xdet', locations=['xdet.tasks'])
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='xdet',
    locations=['xdet.datasets.sets', 'xdet.datasets.order.seeding', 'xdet.scenes.dataset'],
)
DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='xdet', locations=['xdet.datasets.order.samplers']
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='xdet',
    locations=['xdet.datasets.transforms', 'xdet.scenes.dataset', 'xdet.scenes.depth', 'xdet.scenes.texts'],
)
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='xdet', locations=['xdet.evaluation'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='xdet', locations=['xdet.engine.hooks'])
LOOPS = Registry(
    'loop', parent=MMENGINE_LOOPS, scope='xdet', locations=['xdet.engine.joint', 'xdet.engine.testing.resumable_test']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='xdet',
    locations=['xdet.engine.optim.optim_constructor'],
)
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope='xdet',
    locations=['xdet.engine.optim.mixed_precision'],
)
VISUALIZERS = Registry(
    'visualizer', parent=MMENGINE_VISUALIZERS, scope='xdet', locations=['xdet.visualization.local_visualizer']
)
LOG_PROCESSORS = Registry(
    'log_processor', parent=MMENGINE_LOG_PROCESSORS, scope='xdet', locations=['xdet.engine.log_lines']
)
MODEL_WRAPPERS = Registry('model_wrapper', parent=MMENGINE_MODEL_WRAPPERS, scope='xdet', locations=['xdet.engine'])

# xdet registers nothing in these. They exist because MMEngine warns, in every training, when a scope lacks one.
OPTIMIZERS = Registry('optimizer', parent=MMENGINE_OPTIMIZERS, scope='xdet', locations=['xdet.engine'])
PARAM_SCHEDULERS = Registry(
    'parameter scheduler', parent=MMENGINE_PARAM_SCHEDULERS, scope='xdet', locations=['xdet.engine']
)
VISBACKENDS = Registry('vis_backend', parent=MMENGINE_VISBACKENDS, scope='xdet', locations=['xdet.visualization'])
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=MMENGINE_WEIGHT_INITIALIZERS, scope='xdet', locations=['xdet.models']
)
