"""The one settings module. Every value comes from the environment, `.env`, the running `./escrow up`, or a default.

The names are listed with their defaults in `.env.example`. What is unsafe outside development is refused by
`manage.py check --deploy` (and a missing SECRET_KEY or DATABASE_URL with DEBUG off stops the start).
"""

import hashlib
from pathlib import Path

import django_stubs_ext
from kombu import Exchange, Queue

from embedded import configuration

django_stubs_ext.monkeypatch()  # lets ModelAdmin[...] and the like be written for the type checker

BASE_DIR = Path(__file__).resolve().parent.parent
REPOSITORY_DIR = BASE_DIR.parent

env = configuration.load(REPOSITORY_DIR)
VAR_DIR = configuration.var_dir(REPOSITORY_DIR)

# --- Core -----------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = configuration.secret_key(env, var=VAR_DIR, debug=DEBUG)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://localhost:8000").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "backend.apps.DjangoCeleryBeatConfig",
    "django_celery_results",
    "outbox.apps.OutboxConfig",
    "documents.apps.DocumentsConfig",
    "users.apps.UsersConfig",
    "ledger.apps.LedgerConfig",
    "transactions.apps.TransactionsConfig",
    "chain.apps.ChainConfig",
    "notifications.apps.NotificationsConfig",
    "api.apps.ApiConfig",
    "portal.apps.PortalConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.middleware.PortalMiddleware",
]
CSRF_FAILURE_VIEW = "portal.errors.csrf_failed"

ROOT_URLCONF = "backend.urls"
WSGI_APPLICATION = "backend.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -------------------------------------------------------------------------------------------------------
DATABASES = {"default": configuration.database(env, debug=DEBUG)}
DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "users.User"
LOGIN_URL = "portal:log_in"
LOGIN_REDIRECT_URL = "portal:dashboard"
LOGOUT_REDIRECT_URL = "portal:front_door"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# --- Time and language ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# --- Files ----------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(VAR_DIR / "static"))
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = False
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(VAR_DIR / "media"))
DOCUMENT_MAX_BYTES = env.int("DOCUMENT_MAX_BYTES", default=20 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_PERMISSIONS = 0o600
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- E-mail ---------------------------------------------------------------------------------------------------------
# Without EMAIL_URL mails are printed to the console of the process that sends them.
vars().update(configuration.email(env))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Escrow <no-reply@escrow.example>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = 20
MAILBOX_DIR = VAR_DIR / "mailbox"  # what the embedded mail server received; its page exists in development only

# --- Celery ---------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="redis://localhost:6379/0")
CELERY_RESULT_BACKEND = env.str("CELERY_RESULT_BACKEND", default="redis://localhost:6379/0")
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = TIME_ZONE
CELERY_ENABLE_UTC = True
CELERY_TASK_ALWAYS_EAGER = env.bool("CELERY_TASK_ALWAYS_EAGER", default=False)
CELERY_TASK_TIME_LIMIT = env.int("CELERY_TASK_TIME_LIMIT", default=30 * 60)  # seconds
# Two installations on one Redis must not read each other's queues; all hosts of one installation share SECRET_KEY.
CELERY_KEY_PREFIX = "escrow-" + hashlib.sha256(b"celery-prefix:" + SECRET_KEY.encode()).hexdigest()[:8] + "-"
# A message that a worker took and never answered for comes back after this; it must outlast the longest task.
CELERY_VISIBILITY_TIMEOUT = CELERY_TASK_TIME_LIMIT + 300  # seconds
_REDIS_TRANSPORT_OPTIONS = {
    "global_keyprefix": CELERY_KEY_PREFIX,
    "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
    "unacked_restore_interval": 5,  # seconds; with throttle 1, unanswered messages are looked for that often
    "unacked_restore_throttle": 1,
    "socket_timeout": 15,  # longer than the worker's blocking read
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_BROKER_TRANSPORT_OPTIONS = _REDIS_TRANSPORT_OPTIONS if CELERY_BROKER_URL.startswith("redis") else {}
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {
    "global_keyprefix": CELERY_KEY_PREFIX,
    "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
    # The row has the result too, so a result backend that is down must not hold up a worker.
    "retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2, "timeout": 2.0},
}
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = 3
CELERY_REDIS_SOCKET_TIMEOUT = 5
CELERY_REDIS_SOCKET_KEEPALIVE = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # the default gives up after 100
CELERY_BROKER_CONNECTION_TIMEOUT = 3
# Only pokes (durable=False) are published this way; the next one follows anyway.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # poison is stopped by the row, which counts its losses
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # one slow task must not hold others behind it
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20.0  # seconds
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # they go on; their rows know when they end
CELERY_RESULT_EXPIRES = 24 * 60 * 60  # seconds, in the result backend; the row keeps the result longer
CELERY_TASK_DEFAULT_QUEUE = "default"
# A worker without -Q serves them all. An exchange each, because one exchange would share one routing key.
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name) for name in ("high_priority", "default", "chain", "documents", "bulk")
]
CELERY_BEAT_SCHEDULER = "outbox.beat:SeededScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until an edit of the schedule in the admin is seen
CELERY_DB_REUSE_MAX = 10_000  # tasks per database connection; its health is checked before each task
DJANGO_CELERY_BEAT_TZ_AWARE = True

OUTBOX_LEASE_SECONDS = env.float("OUTBOX_LEASE_SECONDS", default=30.0)  # then a task nobody began is published again
OUTBOX_LONGEST_LEASE_SECONDS = env.float("OUTBOX_LONGEST_LEASE_SECONDS", default=900.0)  # it doubles each time
OUTBOX_QUEUE_LIMIT = env.int("OUTBOX_QUEUE_LIMIT", default=200)  # messages that the relay keeps in one queue
OUTBOX_MAX_LOSSES = env.int("OUTBOX_MAX_LOSSES", default=5)  # workers that may die under one task
OUTBOX_HISTORY_DAYS = env.int("OUTBOX_HISTORY_DAYS", default=30)
# --- end of Celery --------------------------------------------------------------------------------------------------

# Which tasks follow which fact: the outbox finds the page through this name, so nothing below imports it.
EVENT_ROUTES = "backend.event_routes"

# --- Chain ----------------------------------------------------------------------------------------------------------
RPC_URL = env.str("RPC_URL", default="")  # empty: all but the chain works
CHAIN_ID = env.int("CHAIN_ID", default=31337)
CHAIN_CONFIRMATIONS = env.int("CHAIN_CONFIRMATIONS", default=2 if CHAIN_ID == 31337 else 12)  # blocks
CHAIN_POLL_SECONDS = env.float("CHAIN_POLL_SECONDS", default=0.5 if CHAIN_ID == 31337 else 5.0)
DEPLOYMENTS_DIR = (VAR_DIR / "deployments") if CHAIN_ID == 31337 else (REPOSITORY_DIR / "contracts" / "deployments")
CONTRACT_ARTIFACTS_DIR = REPOSITORY_DIR / "contracts" / "abi"
RELAYER_KEYSTORE = env.str("RELAYER_KEYSTORE", default="")
RELAYER_PASSWORD_FILE = env.str("RELAYER_PASSWORD_FILE", default="")
# Keys held by the platform for newcomers. They refuse to exist anywhere but on a development chain.
SANDBOX_WALLETS = DEBUG and CHAIN_ID == 31337

# --- Terms that a new agreement starts from -------------------------------------------------------------------------
ESCROW_FEE_BPS = env.int("ESCROW_FEE_BPS", default=0)  # basis points of the seller's part
ESCROW_FEE_RECIPIENT = env.str("ESCROW_FEE_RECIPIENT", default="")

# --- REST -----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.authentication.TokenAuthentication", "api.authentication.PortalSession"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.Schema",
    "DEFAULT_PAGINATION_CLASS": "api.pagination.NewestFirst",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "api.problems.problem_response",
    # Whose address counts for throttles: a caller's X-Forwarded-For is believed only from our own proxy.
    "NUM_PROXIES": 1 if env.bool("BEHIND_PROXY", default=False) else 0,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Smart Contracts Escrow Platform",
    "DESCRIPTION": "Milestone escrow between a buyer and a seller; the money waits in a smart contract.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "TransactionStatus": "api.schema.TRANSACTION_STATUSES",
        "MilestoneStatus": "api.schema.MILESTONE_STATUSES",
        "IntentStatus": "transactions.models.ActionIntent.Status",
        "DisputeStatus": "transactions.models.Dispute.Status",
        "ChainTransactionStatus": "chain.models.ChainTransaction.Status",
        "DocumentState": "documents.models.Document.State",
        "NotificationState": "notifications.models.Notification.State",
        "TaskState": "outbox.models.OutboxMessage.State",
        "WalletKind": "users.models.Wallet.Kind",
        "SellerKind": "users.models.SellerProfile.Kind",
        "VerificationDecision": "users.models.VerificationRequest.Decision",
        "SellerStatus": "users.models.SellerProfile.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.describe_problems",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Safety ---------------------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if DEBUG else 31_536_000)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
