"""The part of the composition root that picks the outside world: the adapters that settings name."""

from __future__ import annotations

from pathlib import Path

from app.adapters.kyc.base import KycProvider
from app.adapters.kyc.mock import MockKyc
from app.adapters.kyc.sumsub import Sumsub
from app.adapters.mail.base import Mailer
from app.adapters.mail.folder import FolderMailer
from app.adapters.mail.smtp import SmtpMailer
from app.adapters.payments.base import PaymentProvider
from app.adapters.payments.mock import MockPayments
from app.adapters.payments.stripe import StripePayments
from app.adapters.storage.base import Storage
from app.adapters.storage.local import LocalStorage
from app.adapters.storage.s3 import S3Account, S3Storage
from app.core.settings import ROOT, BadSetting, Settings
from app.core.transaction import Database
from app.extensions import mail


def kyc_provider(settings: Settings) -> KycProvider:
    """Who verifies clients."""
    if settings.kyc_provider == "mock":
        return MockKyc(decides=not settings.production)
    assert settings.sumsub_app_token and settings.sumsub_secret_key and settings.sumsub_webhook_secret
    return Sumsub(
        settings.sumsub_url,
        settings.sumsub_app_token,
        settings.sumsub_secret_key,
        settings.sumsub_webhook_secret,
        [name.strip() for name in settings.sumsub_levels.split(",")],
    )


def storage(settings: Settings, database: Database) -> Storage:
    """Where the files of clients are kept. Raises ``BadSetting`` where a bucket's settings are not whole."""
    if settings.documents == "local":
        return LocalStorage(documents_folder(settings, database))
    return S3Storage(_s3_account(settings))


def _s3_account(settings: Settings) -> S3Account:
    named = {
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_BUCKET": settings.s3_bucket,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key,
    }
    missing = [variable for variable, value in named.items() if not value]
    if missing:
        raise BadSetting(f"DOCUMENTS=s3 needs {', '.join(missing)}.")
    endpoint, bucket, access_key, secret_key = (str(value) for value in named.values())
    return S3Account(endpoint, settings.s3_region, bucket, access_key, secret_key)


def documents_folder(settings: Settings, database: Database) -> Path:
    """Where DOCUMENTS=local keeps its files."""
    if settings.documents_folder:
        return Path(settings.documents_folder)
    return (database.folder or ROOT / "var") / "documents"


def payment_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """By name; the mock one is a sandbox's."""
    providers: list[PaymentProvider] = [] if settings.production else [MockPayments()]
    if settings.stripe_secret_key is not None and settings.stripe_webhook_secret is not None:
        api_base = settings.stripe_api_base
        providers.append(StripePayments(settings.stripe_secret_key, settings.stripe_webhook_secret, api_base))
    return {provider.name: provider for provider in providers}


def mailer(settings: Settings, folder: Path) -> Mailer | None:
    """How mail leaves; None where it waits until a server is set."""
    if settings.mail_server:
        return SmtpMailer(mail, timeout=settings.mail_timeout_seconds)
    return None if settings.production else FolderMailer(folder)
